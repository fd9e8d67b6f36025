"""Small tools that know neither networks nor images."""

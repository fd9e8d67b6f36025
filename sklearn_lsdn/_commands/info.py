"""`lsdn info`."""

HELP = "say what a model file holds"
PARENTS = ()


def add_arguments(command):
    """Declare what the command takes."""
    command.add_argument("model", help="model file")


def run(arguments):
    """Say what a model file holds: the network, what it was trained on, and how its
    inputs must look."""
    from .._persistence.model_files import describe_model

    return describe_model(arguments.model)

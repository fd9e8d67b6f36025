"""Files that appear whole or not at all."""

import os
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

_reading_umask = threading.Lock()


def make_folder(path):
    """Make a folder, unless it is there.

    Raises
    ------
    OSError
        If something that is no folder is in the way.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(
            f"{path} cannot be made a folder: a file is in the way. Choose another."
        ) from error


@contextmanager
def made_folders(folders):
    """Make folders for outputs; in the end, those still empty are gone again.

    Whether the work within failed, was interrupted or wrote nothing. Folders that
    were there before remain.

    Parameters
    ----------
    folders : iterable of path-like

    Raises
    ------
    OSError
        If something that is no folder is in the way.
    """
    made = set()
    try:
        for folder in map(Path, folders):
            made.update(each for each in (folder, *folder.parents) if not each.exists())
            make_folder(folder)
        yield
    finally:
        for folder in sorted(made, key=lambda each: len(each.parts), reverse=True):
            with suppress(OSError):  # it holds something, or was never made
                folder.rmdir()


def check_output(path, *, overwrite=False, inputs=()):
    """Check that a file can be written, before the work that leads to it.

    Parameters
    ----------
    path : path-like
        The file to be.
    inputs : iterable of path-like
        Files that it must not replace.
    overwrite : bool, default=False
        Whether it may exist.

    Raises
    ------
    FileExistsError
        If it exists and ``overwrite`` is false.
    OSError
        If its folder is missing or cannot be written to.
    """
    path = Path(path)
    if path.resolve() in {Path(given).resolve() for given in inputs}:
        raise FileExistsError(
            f"{path} is among the inputs and would be overwritten. Choose another name."
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory. Give the name of a file.")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists already. Choose another name, or allow overwriting it "
            "(overwrite=True, of commands --overwrite)."
        )
    if not path.parent.is_dir():
        raise NotADirectoryError(
            f"{path} cannot be written: {path.parent} is not an existing folder."
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} cannot be written: no permission in its folder.")


@contextmanager
def prepared_outputs(paths, *, overwrite=False, inputs=()):
    """Check that files can be written, and make their folders, as `made_folders`.

    Parameters
    ----------
    paths : list of path-like
        The files to be.
    overwrite : bool, default=False
        Whether they may exist.
    inputs : iterable of path-like
        Files that they must not replace.

    Raises
    ------
    FileExistsError
        If one exists and ``overwrite`` is false.
    OSError
        If a folder cannot be made or written to.
    """
    paths = [Path(path) for path in paths]
    for path in paths:
        if path.exists():
            check_output(path, overwrite=overwrite, inputs=inputs)
    with made_folders(dict.fromkeys(path.parent for path in paths)):
        for path in paths:
            check_output(path, overwrite=overwrite)
        yield


def _umask():
    """What new files are not allowed, which a process can only read by setting it."""
    with _reading_umask:
        umask = os.umask(0o077)
        os.umask(umask)
    return umask


@contextmanager
def written_whole(path, *, suffix="", overwrite=False):
    """Give a temporary path to write to; rename it to ``path`` once that is done.

    Parameters
    ----------
    path : str or path-like
        The file to be.
    suffix : str
        Ending of the temporary name, for writers that look at it.
    overwrite : bool, default=False
        Replace an existing file.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    OSError
        If its folder is missing or cannot be written to.
    """
    path = Path(path)
    check_output(path, overwrite=overwrite)
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=suffix, dir=path.parent)
    os.close(handle)
    try:
        yield Path(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError):
            reason = error.strerror or error  # such as "No space left on device"
            raise OSError(f"{path} cannot be written: {reason}.") from error
        raise


@contextmanager
def written_with_folder(path, folder, *, suffix="", overwrite=False):
    """Give a temporary file and folder to write to; rename both once that is done.

    If that fails, or is interrupted, both are what they were.

    Parameters
    ----------
    path, folder : Path
        What they shall be. What the folder held is gone.
    suffix, overwrite
        Of the file, as `written_whole` takes them.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    OSError
        If one of them cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as temporary:
        new, old = Path(temporary) / "new", Path(temporary) / "old"
        new.mkdir()
        try:
            with written_whole(path, suffix=suffix, overwrite=overwrite) as file:
                yield file, new
                if folder.exists():
                    os.rename(folder, old)
                os.rename(new, folder)
        except BaseException:
            if not new.exists():
                os.rename(folder, new)
            if old.exists():
                os.rename(old, folder)
            raise

"""What edgeacts raises: one line that names the thing and the cure."""


class EdgeactsError(Exception):
    """Something that was to be done could not be done. The command line exits with `exit_code`."""

    exit_code = 1


class UsageError(EdgeactsError, ValueError):
    """The call asks for something that does not exist or does not fit: unknown name, missing file, bad value."""

    exit_code = 2


class DamagedFile(EdgeactsError):
    """A file exists but is not what it should be: truncated, altered, of another kind."""


class CheckFailed(EdgeactsError):
    """A check was carried out and its answer is no."""


class NotAvailable(EdgeactsError):
    """A runtime, provider or extra that this machine does not have."""

    exit_code = 2


_EXTRAS = {"openvino": "openvino", "datasets": "hub"}


def missing_extra(error: ModuleNotFoundError) -> Exception:
    """A missing third-party package as a NotAvailable that says what to install; our own bugs stay what they are."""
    package = (error.name or "").partition(".")[0]
    if not package or package == "edgeacts":
        return error
    extra = _EXTRAS.get(package, "train")
    return NotAvailable(f"{package} is not installed: pip install 'edgeacts[{extra}]'")


def one_line(error: BaseException, limit: int = 300) -> str:
    """The telling part of a runtime's error on one line: without its source positions and log prefixes."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(("Exception from ", "Check '"))]
    text = " ".join(telling or [line for line in lines if line]) or type(error).__name__
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    return text if len(text) <= limit else text[: limit - 1] + "…"

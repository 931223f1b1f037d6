"""What can go wrong between an uploaded file and a finished talk.

One family: every error says in words what happened and whether trying again could help.

    PipelineError
    ├── Refused       permanent: the file is not one that we take
    ├── Broken        permanent: the file, or its decoder, gave up
    ├── Interrupted   transient: the machine's fault; the same work may succeed later
    └── Cancelled     nobody's fault: the work was withdrawn
"""


class PipelineError(Exception):
    """Work on a talk ended without a result.

    Args:
        words: a sentence for the contributor: what happened and what to do.
        detail: lines for the log (exit status, the tool's last words), never shown to people.
    """

    permanent = False

    def __init__(self, words: str, detail: str = "") -> None:
        super().__init__(words)
        self.words = words
        self.detail = detail

    def __reduce__(self) -> tuple[type["PipelineError"], tuple[str, str]]:
        """Keep words and detail when the error travels between processes."""
        return type(self), (self.words, self.detail)


class Refused(PipelineError):  # noqa: N818  reads as what happened to the file
    """The file is outside what we take; only another file can help."""

    permanent = True


class Broken(PipelineError):  # noqa: N818  as above
    """The file cannot be read, or reading it ended the decoder."""

    permanent = True


class Interrupted(PipelineError):  # noqa: N818  as above
    """Time, room or a process was taken from us; trying again may succeed."""


class Cancelled(PipelineError):  # noqa: N818  as above
    """The work was withdrawn while it ran; its children are dead and nothing is to be shown."""

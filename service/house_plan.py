"""What `dare up` decided and the supervisor does."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Plan:
    """What `dare up` decided. Nothing in it is secret, for it travels in argv."""

    data: str
    port: int
    bind: str
    workers: int
    origin: str
    lock: int
    own_database: bool
    own_store: bool

    def as_argument(self) -> str:
        """Return the plan as one command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls, argument: str) -> "Plan":
        """Read a plan back."""
        return cls(**json.loads(argument))

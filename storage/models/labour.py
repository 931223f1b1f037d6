"""The pipeline's own rows: what is being done, by whom, and who is still alive."""

from datetime import datetime

from sqlmodel import Field

from storage.models.base import Row, born, reference


class WorkProgress(Row, table=True):
    """What is being done with an episode, in words for people. `fraction` is 0 to 1."""

    __tablename__ = "work_progress"
    episode_id: int = reference("episode.id", primary_key=True, index=False)
    revision: int = 0
    step: str = Field(max_length=30)
    fraction: float = 0.0
    words: str = Field(default="", max_length=200)
    executor: str = Field(default="", max_length=64)
    changed_at: datetime = born()


class WorkerLease(Row, table=True):
    """A worker process's time-limited claim to be alive."""

    __tablename__ = "worker_lease"
    executor: str = Field(primary_key=True, max_length=64)
    host: str = Field(max_length=120)
    pid: int
    started_at: datetime = born()
    heartbeat_at: datetime = born()

"""What the API takes: unknown fields and values of another type are refused.

How long a title may be and the like is the use cases' business; they say it in words.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from service.rating.model import FEWEST, MOST, StarsError
from storage.search import LONGEST

# The largest number of a bigint column; a larger one is an error of the database's.
LARGEST = 2**63 - 1
MOST_PAGES = 1000

Slug = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,80}$")]
# PostgreSQL's text cannot hold U+0000; one line has no use for the other controls.
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]


def _in_words(value: Any, checked: ValidatorFunctionWrapHandler) -> Any:
    try:
        return checked(value)
    except ValidationError as error:
        raise StarsError from error


Stars = Annotated[int, Field(ge=FEWEST, le=MOST), WrapValidator(_in_words)]


class Body(BaseModel):
    """Base of all bodies. A number is a number: "5" and true are none."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Asked(BaseModel):
    """Base of all query strings, where numbers are spelled."""

    model_config = ConfigDict(extra="forbid")


class DraftBody(Body):
    """What an author says of a new talk. Without a show it goes into the author's first one.

    `held` keeps it back until its author publishes it.
    """

    title: str
    notes: str = ""
    language: str = ""
    topics: list[Annotated[str, Field(pattern="^[^,]*$")]] = []
    show: Slug | None = None
    held: bool = False


class ChangeBody(Body):
    """What changes of a talk; a field that is not sent stays as it is.

    `held` counts until the talk can be heard; from then on only publishing it does.
    """

    title: str = ""
    notes: str = ""
    language: str = ""
    topics: list[Annotated[str, Field(pattern="^[^,]*$")]] = []
    show: Slug | None = None
    held: bool = False


class AudienceBody(Body):
    """The communities, by slug, to which a talk is narrowed; null is all who may see its show."""

    communities: list[Slug] | None


class ShowBody(Body):
    """A new show. `community` is the slug of its home, `communities` are those it is for."""

    title: str
    description: str = ""
    community: Slug | None = None
    visibility: Literal["organisation", "communities", "public"] = "organisation"
    communities: list[Slug] = []
    language: Annotated[str, Field(pattern="^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")] = "en"


class UploadBody(Body):
    """The file that is to come: its name, and its size in bytes."""

    name: str
    size: Annotated[int, Field(le=LARGEST)]


class RatingBody(Body):
    """Whole stars from 1 to 5."""

    stars: Stars


class CommentBody(Body):
    """A comment in Markdown, at a second of the talk or on the whole, or in reply to another."""

    body: str
    at: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    parent: Annotated[int, Field(ge=1, le=LARGEST)] | None = None


class PositionBody(Body):
    """How far one has listened, in seconds."""

    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    finished: bool = False


class FeedBody(Body):
    """A new private address: of one show, or of the top rated talks when none is named.

    It lasts for `days`, or for ever when they are not named.
    """

    show: Slug | None = None
    label: Annotated[Line, Field(max_length=120)] = ""
    mode: Literal["audio", "video"] = "audio"
    days: Literal[90, 365] | None = None


class FeedLabelBody(Body):
    """Which app or device an address is for."""

    label: Annotated[Line, Field(max_length=120)]


class EpisodesAsked(Asked):
    """Which talks, in which order. `after` is the `next` of the page before."""

    order: Literal["top", "newest"] = "top"
    topic: Slug | None = None
    show: Slug | None = None
    person: UUID | None = None
    after: UUID | None = None


class ShowsAsked(Asked):
    """Which page of the shows. `after` is the `next` of the page before."""

    after: Slug | None = None


class SearchAsked(Asked):
    """What to look for: quotes for phrases, a minus for what must not be there, `or`."""

    q: Annotated[Line, Field(max_length=LONGEST)] = ""
    page: Annotated[int, Field(ge=1, le=MOST_PAGES)] = 1

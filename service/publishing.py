"""A talk's way from draft to published, as far as people steer it.

Draft first, bytes second; `finish` may be called any number of times and queues one production.
The page, the API and the command line all go through here.
"""

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, delete, func, select, update

from service import access, limits, notices
from service.access import Asker
from service.rating import ledger
from service.uploads import receiving
from service.uploads.receiving import UploadError
from storage import audit
from storage.floor import Floor
from storage.models import (
    Community,
    Episode,
    EpisodeScore,
    EpisodeTopic,
    Person,
    Show,
    Source,
    Topic,
    Upload,
    now,
)
from storage.objects import PART

# Any number that no other advisory lock of ours uses.
NAMING = 0x6461726502
TITLE_MOST = 200
NOTES_MOST = 10_000
TOPICS_MOST = 8
# Withdrawing ends the work on a talk in one of these states.
UNFINISHED = frozenset({"processing", "playable", "transcribing"})
LANGUAGE = re.compile(r"^[a-z]{2,3}$")


class PublishingError(ValueError):
    """A draft cannot be like this. `errors` has a sentence for each field."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


class WidensError(PublishingError):
    """A talk is about to go into a show that more people see, and nobody has said yes to that.

    `slug` is the show's, `narrowed` the communities to which the talk is narrowed.
    """

    def __init__(self, slug: str, narrowed: list[int] | None) -> None:
        super().__init__({"show": "More people would hear it there."})
        self.slug, self.narrowed = slug, narrowed


class NotThereError(LookupError):
    """There is no such thing for this asker: absent and forbidden read the same."""


class NotNowError(Exception):
    """The talk's state does not allow this now; the message says why."""


@dataclass(frozen=True)
class Draft:
    """What an author says of a talk, as typed.

    `held` is whether it waits for its author's word once it is ready: yes or no; empty leaves it.
    """

    title: str
    notes: str = ""
    language: str = ""
    topics: str = ""
    show: str = ""
    held: str = ""


@dataclass(frozen=True)
class Cleaned:
    """A draft that passed every rule."""

    title: str
    notes: str
    language: str | None
    topics: list[str]


def one_line(text: str) -> str:
    """Return text as one line: NFC, no control or direction characters, single spaces."""
    composed = unicodedata.normalize("NFC", text)
    kept = (" " if c.isspace() else c for c in composed if c.isspace() or not _is_hidden(c))
    return " ".join("".join(kept).split())


def many_lines(text: str) -> str:
    """Return text with its line breaks and without hidden characters."""
    composed = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(c for c in composed if c in "\n\t" or not _is_hidden(c)).strip()


def _is_hidden(character: str) -> bool:
    # Controls, surrogates and unassigned code points; bidi controls, but not the joiners of emoji.
    category = unicodedata.category(character)
    return (
        category in {"Cc", "Cs", "Cn"}
        or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def clean(draft: Draft) -> Cleaned:
    """Return the draft as it will be stored.

    Raises:
        PublishingError: a sentence for each field that cannot be.
    """
    errors: dict[str, str] = {}
    title = one_line(draft.title)
    if not title:
        errors["title"] = "A title is needed, so that colleagues can find the talk."
    elif len(title) > TITLE_MOST:
        errors["title"] = f"The title has {len(title)} characters; {TITLE_MOST} is the most."
    notes = many_lines(draft.notes)
    if len(notes) > NOTES_MOST:
        errors["notes"] = f"The notes have {len(notes)} characters; {NOTES_MOST} is the most."
    language = draft.language.strip().lower()
    if language and not LANGUAGE.match(language):
        errors["language"] = "Name the language by its two letters, such as en, de or fr."
    topics = list(dict.fromkeys(t for t in (one_line(t) for t in draft.topics.split(",")) if t))
    if len(topics) > TOPICS_MOST:
        errors["topics"] = f"{TOPICS_MOST} topics are the most."
    elif any(len(topic) > 80 for topic in topics):
        errors["topics"] = "A topic may have at most 80 characters."
    if errors:
        raise PublishingError(errors)
    return Cleaned(title, notes, language or None, topics)


def slug_of(text: str, fallback: str) -> str:
    """Return an address part made of the letters and digits of a text."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or fallback


@contextmanager
def gathered(errors: dict[str, str]) -> Iterator[None]:
    """Keep what is wrong in `errors` and go on, so that a form is told everything at once."""
    try:
        yield
    except PublishingError as error:
        errors.update(error.errors)


def clean_show(title: str, description: str) -> tuple[str, str]:
    """Return a show's title and description as they will be stored.

    Raises:
        PublishingError: no title, a title over 200, a description over 4,000.
    """
    errors: dict[str, str] = {}
    name, about = one_line(title), many_lines(description)
    if not name:
        errors["title"] = "A show needs a title."
    elif len(name) > TITLE_MOST:
        errors["title"] = f"The title has {len(name)} characters; {TITLE_MOST} is the most."
    if len(about) > 4000:
        errors["description"] = f"The description has {len(about)} characters; 4000 is the most."
    if errors:
        raise PublishingError(errors)
    return name, about


def home_of(session: Session, asker: Asker, community: str) -> Community:
    """Return the community of this slug, in which a show may be at home: one's own.

    Raises:
        PublishingError: this person belongs to no such community.
    """
    found = session.exec(
        select(Community).where(
            Community.slug == community, col(Community.id).in_(asker.communities)
        )
    ).first()
    if found is None:
        raise PublishingError({"community": "Choose a community that you belong to."})
    return found


def create_show(
    session: Session,
    asker: Asker,
    *,
    title: str,
    description: str = "",
    community: str = "",
    language: str = "",
) -> Show:
    """Make a show of one's own.

    Raises:
        PublishingError: no title, a title over 200, a description over 4,000, no such community.
        NotThereError: this person does not publish.
    """
    if not asker.may_publish:
        raise NotThereError
    name = about = ""
    errors: dict[str, str] = {}
    group = None
    with gathered(errors):
        name, about = clean_show(title, description)
    with gathered(errors):
        group = home_of(session, asker, community) if community else None
    if errors:
        raise PublishingError(errors)
    show = Show(
        slug=show_slug(session, name),
        title=name,
        description=about,
        language=language or "en",
        owner_id=asker.id,
        community_id=group.id if group else None,
    )
    session.add(show)
    session.flush()
    return show


def lock_names(session: Session) -> None:
    """Let nobody else name a show or a community until the caller commits."""
    session.execute(select(func.pg_advisory_xact_lock(NAMING)))


def free_slug(session: Session, table: type[Show | Community], wanted: str) -> str:
    """Return an address part that no row of this table has, kept free until the caller commits."""
    # One at a time, until the caller commits: two things of one name get two addresses.
    lock_names(session)
    taken = session.exec(select(table.slug).where(table.slug == wanted)).first()
    return wanted if taken is None else f"{wanted}-{secrets.token_hex(3)}"


def show_slug(session: Session, title: str) -> str:
    """Return an address part for a new show, kept free until the caller commits.

    Of its title and of chance, whatever other shows there are: a plain one for whoever comes first
    would tell who asks for it second that there is a show of this title, hidden or not.
    """
    return free_slug(session, Show, f"{slug_of(title, 'show')}-{secrets.token_hex(3)}")


def shows_to_publish_in(session: Session, asker: Asker) -> list[Show]:
    """Return the shows that a person may add episodes to, by title."""
    return list(
        session.exec(select(Show).where(Show.owner_id == asker.id).order_by(col(Show.title)))
    )


def own_show(session: Session, asker: Asker, slug: str = "") -> Show:
    """Return the named show, or a person's first one, made on the spot when there is none.

    Raises:
        PublishingError: the named show is not theirs.
    """
    mine = shows_to_publish_in(session, asker)
    if slug:
        for show in mine:
            if show.slug == slug:
                return show
        raise PublishingError({"show": "Choose one of your own shows."})
    if not mine:
        # Two first drafts at once: whoever comes second takes the show that the first one made.
        held = select(Person.id).where(Person.id == asker.id)
        session.exec(held.with_for_update(key_share=True)).one()
        mine = shows_to_publish_in(session, asker)
    return mine[0] if mine else create_show(session, asker, title=f"Talks by {asker.name}")


def create_draft(session: Session, asker: Asker, draft: Draft) -> Episode:
    """Save a draft, so that nothing typed is ever lost.

    Raises:
        PublishingError: see `clean`.
        NotThereError: this person does not publish.
    """
    if not asker.may_publish:
        raise NotThereError
    cleaned = clean(draft)
    show = own_show(session, asker, draft.show)
    _keep_audience(session, show)
    episode = Episode(
        show_id=show.id,
        show_audience=show.audience,
        public=show.visibility == "public",
        author_id=asker.id,
        title=cleaned.title,
        notes=cleaned.notes,
        language=cleaned.language,
        held=draft.held == "yes",
    )
    session.add(episode)
    session.flush()
    # Its score stands ready, not listed: the worker that publishes only has to list it.
    ledger.locked_score(session, episode)
    _set_topics(session, episode, cleaned.topics)
    return episode


def save(
    session: Session,
    asker: Asker,
    guid: str,
    draft: Draft,
    *,
    widen: str | None = None,
    network: str = "",
) -> Episode:
    """Change what an author says of a talk, in any state.

    `widen` is the slug of the show of which the author said yes to more people hearing the talk
    there; None asks nobody, for programs that say exactly what they mean.

    Raises:
        PublishingError: see `clean`.
        WidensError: the talk has a recording and would be opened to more people, and `widen` names
            another show or none.
        NotThereError: no such talk of this asker's.
    """
    episode = mine(session, asker, guid, lock=True)
    cleaned = clean(draft)
    if draft.show and draft.show != session.get_one(Show, episode.show_id).slug:
        show = own_show(session, asker, draft.show)
        _keep_audience(session, show)
        before = session.get_one(Show, episode.show_id)
        wider = episode.revision > 0 and access.widens(before, show, episode.audience)
        if wider and widen is not None and widen != show.slug:
            raise WidensError(show.slug, episode.audience)
        move(episode, show)
        # Podcast apps may ask by date alone, and nothing else there says that a talk has gone.
        before.changed_at = now()
        left, entered = str(before.guid), str(show.guid)
        _note(session, asker, "moved", episode, network, before=left, after=entered)
    if draft.held and episode.playable_at is None:
        # Later it is let out by its author's word alone: a form left open must not do it.
        episode.held = draft.held == "yes"
    episode.title, episode.notes = cleaned.title, cleaned.notes
    episode.language = cleaned.language or episode.language
    episode.changed_at = now()
    _set_topics(session, episode, cleaned.topics)
    return episode


def _keep_audience(session: Session, show: Show) -> None:
    """Read who may see a show as it is now, and keep it so until the caller commits.

    `visibility.set_show` locks the show for itself and changes the copies on its episodes: one
    that comes in meanwhile must not bring a copy of what was. A talk is locked before its show.
    """
    session.refresh(show, with_for_update={"read": True, "key_share": True})


def move(episode: Episode, show: Show) -> None:
    """Put an episode into a show: who may see the show may see it, unless it is narrowed."""
    episode.show_id = show.id
    episode.show_audience = show.audience
    episode.public = show.visibility == "public" and episode.audience is None


def _set_topics(session: Session, episode: Episode, names: list[str]) -> None:
    session.exec(delete(EpisodeTopic).where(col(EpisodeTopic.episode_id) == episode.id))
    seen: set[int] = set()
    for name in names:
        slug = slug_of(name, f"topic-{hashlib.sha256(name.encode()).hexdigest()[:8]}")
        # Two drafts may name a new topic at once: whoever comes second takes what is there.
        session.execute(insert(Topic).values(slug=slug, name=name).on_conflict_do_nothing())
        topic = session.exec(select(Topic).where(Topic.slug == slug)).one()
        if topic.id not in seen:
            seen.add(topic.id)
            session.add(EpisodeTopic(episode_id=episode.id, topic_id=topic.id))
    session.flush()


def mine(session: Session, asker: Asker, guid: str, *, lock: bool = False) -> Episode:
    """Return an episode that this asker may edit.

    Raises:
        NotThereError: there is none, or it is somebody else's.
    """
    query = select(Episode).where(Episode.guid == guid)
    episode = session.exec(query.with_for_update(key_share=True) if lock else query).first()
    if episode is None or not access.may_edit(asker, episode):
        raise NotThereError
    return episode


def begin_upload(
    session: Session, floor: Floor, asker: Asker, guid: str, *, name: str, length: int
) -> tuple[Upload, bool]:
    """Open an upload into a draft; see `receiving.begin`.

    Raises:
        NotThereError, UploadError.
    """
    episode = mine(session, asker, guid, lock=True)
    _check_not_withdrawn(episode)
    if receiving.open_upload(session, episode.id) is None:
        limits.spend(session, limits.UPLOADS, asker.id)
    limit = floor.settings.max_upload_bytes
    upload, fresh = receiving.begin(
        session, floor.store, episode, name=name, length=length, limit=limit
    )
    if episode.state == "draft":
        episode.state = "uploading"
    return upload, fresh


def cancel_upload(session: Session, floor: Floor, asker: Asker, guid: str) -> None:
    """Give up the upload that is under way; the draft stays.

    Raises:
        NotThereError: no such talk of this asker's.
    """
    episode = mine(session, asker, guid, lock=True)
    upload = receiving.open_upload(session, episode.id)
    if upload is not None:
        _give_up(session, floor, episode, upload)


def end_upload(session: Session, floor: Floor, asker: Asker, upload_id: UUID) -> None:
    """Give up one upload, named by its id; nothing happens when it has been finished.

    Raises:
        UploadError: 404 when it is not this asker's, 410 when it was given up before.
    """
    upload = receiving.mine(session, upload_id, asker.id)
    episode = session.get_one(Episode, upload.episode_id, with_for_update={"key_share": True})
    session.refresh(upload)  # it may have been finished while we waited for the episode
    if upload.state == "open":
        _give_up(session, floor, episode, upload)


def _give_up(session: Session, floor: Floor, episode: Episode, upload: Upload) -> None:
    receiving.abort(session, floor.store, upload)
    if episode.state == "uploading":
        episode.state = "draft"


def _check_not_withdrawn(episode: Episode) -> None:
    if episode.withdrawn_at is not None:
        raise UploadError(409, "This talk was withdrawn; nothing is made of it any more.")


def finish(floor: Floor, asker: Asker, guid: str) -> Episode:
    """Turn a whole upload into a production; any number of times, with one effect.

    The store joins the parts first, outside the transaction; then one transaction makes the
    source row, moves the state and queues the work, guarded by the upload's state.

    Raises:
        NotThereError, UploadError, StoreError.
    """
    with floor.database.begin() as session:
        episode = mine(session, asker, guid)
        _check_not_withdrawn(episode)
        upload = receiving.open_upload(session, episode.id)
        session.expunge_all()
    if upload is None:
        if episode.revision == 0:
            raise UploadError(409, "Nothing has been uploaded into this draft yet.")
        return episode
    receiving.complete(floor.store, upload)
    with floor.database.begin() as session:
        # The episode first, as whoever cancels or withdraws locks it: no two wait for each other.
        episode = mine(session, asker, guid, lock=True)
        _check_not_withdrawn(episode)
        claimed = session.exec(
            update(Upload)
            .where(col(Upload.id) == upload.id, col(Upload.state) == "open")
            .values(state="finished", changed_at=now())
        )
        if claimed.rowcount == 1:
            _produce_new_revision(session, floor, episode, upload)
        else:
            receiving.mine(session, upload.id, asker.id)  # tells whoever was cancelled meanwhile
        session.flush()
        session.expunge_all()
    return episode


def _produce_new_revision(session: Session, floor: Floor, episode: Episode, upload: Upload) -> None:
    episode.revision += 1
    episode.uploaded_at = now()
    session.add(
        Source(
            episode_id=episode.id,
            revision=episode.revision,
            key=upload.key,
            given_name=upload.given_name,
            size=upload.length,
        )
    )
    _queue(session, floor, episode)


def _queue(session: Session, floor: Floor, episode: Episode) -> None:
    episode.state = "processing"
    episode.reason = episode.notice = None
    episode.attempt += 1
    session.flush()
    floor.work.produce(
        session, guid=str(episode.guid), revision=episode.revision, attempt=episode.attempt
    )


def receive(
    floor: Floor, asker: Asker, guid: str, *, name: str, length: int, body: IO[bytes]
) -> Episode:
    """Take a whole file from a stream, part by part, and finish.

    Raises:
        NotThereError, UploadError, StoreError.
    """
    with floor.database.begin() as session:
        upload, _ = begin_upload(session, floor, asker, guid, name=name, length=length)
        upload_id, offset = upload.id, upload.offset
    body.seek(offset)
    while offset < length:
        offset = receiving.append(
            floor.database,
            floor.store,
            upload_id,
            asker.id,
            offset=offset,
            body=body,
            length=min(PART, length - offset),
        )
    return finish(floor, asker, guid)


def retry(session: Session, floor: Floor, asker: Asker, guid: str) -> Episode:
    """Queue a failed talk again.

    Raises:
        NotThereError: no such talk of this asker's.
        NotNowError: it has not failed.
    """
    episode = mine(session, asker, guid, lock=True)
    unfinished = episode.state == "failed" or episode.reason is not None
    if not unfinished or episode.revision == 0:
        raise NotNowError("Only a talk that failed can be tried again.")
    _queue(session, floor, episode)
    return episode


def withdraw(session: Session, asker: Asker, guid: str, *, network: str = "") -> Episode:
    """Take one's own talk off every page, list and feed. Its address then answers like none.

    Raises:
        NotThereError: no such talk of this asker's.
    """
    episode = mine(session, asker, guid, lock=True)
    if episode.withdrawn_at is None:
        episode.withdrawn_at = episode.changed_at = now()
        episode.withdrawn_by = asker.id
        relist(session, episode)
        _note(session, asker, "withdrawn", episode, network)
    return episode


def _note(
    session: Session, asker: Asker, act: str, episode: Episode, network: str, **facts: str
) -> None:
    audit.record(
        session,
        act,
        actor=asker.ref,
        subject_kind="episode",
        subject=str(episode.guid),
        network=network,
        **facts,
    )


def restore(
    session: Session, floor: Floor, asker: Asker, guid: str, *, network: str = ""
) -> Episode:
    """Put one's own withdrawn talk back; what was not finished before is made now.

    Raises:
        NotThereError: no such talk of this asker's.
        NotNowError: somebody else withdrew it, or a moderator has hidden it.
    """
    episode = mine(session, asker, guid, lock=True)
    if episode.hidden_at is not None:
        raise NotNowError("This talk was hidden by a moderator, who alone can bring it back.")
    if episode.withdrawn_at is None:
        return episode
    if episode.withdrawn_by != asker.id:
        raise NotNowError("This talk was withdrawn by a moderator, who alone can put it back.")
    put_back(session, floor, episode)
    _note(session, asker, "restored", episode, network)
    return episode


def put_back(session: Session, floor: Floor, episode: Episode) -> None:
    """Undo a withdrawal, whoever's it was; what was not finished before is made now."""
    episode.withdrawn_at = episode.withdrawn_by = None
    episode.changed_at = now()
    relist(session, episode)
    if episode.state in UNFINISHED:
        _queue(session, floor, episode)


def publish(session: Session, asker: Asker, guid: str, *, network: str = "") -> Episode:
    """Let out a talk that was held back, as soon as it can be heard.

    Raises:
        NotThereError: no such talk of this asker's.
    """
    episode = mine(session, asker, guid, lock=True)
    episode.held = False
    if episode.playable_at is not None and episode.published_at is None:
        episode.published_at = episode.changed_at = now()
        # Who was asked to look first may not be among those who hear it now.
        notices.take_all_back(session, "review", f"/episodes/{episode.guid}")
        _note(session, asker, "published", episode, network)
    relist(session, episode)
    return episode


def relist(session: Session, episode: Episode) -> None:
    """Make the boards agree with an episode's state: in lists when it is out, else not."""
    session.exec(
        update(EpisodeScore)
        .where(col(EpisodeScore.episode_id) == episode.id)
        .values(listed=access.is_out(episode))
    )

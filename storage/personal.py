"""What is kept about people: every column of every table, whose it is, and what becomes of it.

One table drives four things, so that none can forget a column: the archive that somebody may ask
for, what erasing an account takes away, the page and document that say so, and the tests that
refuse a new column without a row here.
"""

from dataclasses import dataclass, field
from enum import StrEnum

# Whose rows: conditions with the binds of `storage/belongings.py`.
BY_PERSON = "person_id = :person"
ON_MY_TALKS = "episode_id IN (SELECT id FROM episode WHERE author_id = :person)"

ITSELF = "says whose row it is; the whole archive is yours"
NUMBER = "a running number that means nothing outside"
SECRET = "a secret, or something a secret could be tested against"  # noqa: S105  the words for one
PLACE = "where the bytes lie; the file itself is in the archive"
OTHERS = "is about somebody else"
INNER = "serves the work inside and says nothing about you"
SHORT = "gone within two days"
DERIVED = "made from other columns of the same row"


class Fate(StrEnum):
    """What erasing a person does to a column of theirs."""

    GONE = "the row goes"
    BLANK = "emptied"
    TALK = "goes with the talk, or stays with it where it is handed over"
    STAYS = "stays; it names nobody"


@dataclass(frozen=True)
class Group:
    """Tables that people would see as one thing, in words for them.

    `kept` may name settings in braces; what erasing does is told by `erased`.
    """

    title: str
    what: str
    why: str
    seen: str
    kept: str
    erased: str


PROFILE = Group(
    "Your account",
    "Name, address, department, what colleagues can ask you, and how pages look for you.",
    "So that colleagues know who speaks, and so that you can sign in.",
    "Colleagues see name, department and what you can be asked; admins see all but secrets.",
    "Until the account is erased.",
    "Emptied. What is left is a nameless number to which old threads can point.",
)
SIGN_IN = Group(
    "How you sign in",
    "Sessions, sign-in providers, access tokens, recovery codes, links, and failed tries.",
    "To let you in, to keep others out, and so that you can see and end each session.",
    "You alone; admins see that a provider is linked, and can end sessions.",
    "Ended sessions {keep_sessions_days} days, failed tries {keep_sign_in_failures_days} days,"
    " links until they have ended; the rest until you remove it.",
    "Gone at once; every session and token stops working.",
)
COMMUNITIES = Group(
    "Communities",
    "Which communities you belong to, and which you have asked to join.",
    "It decides what you may see.",
    "Members of the same community.",
    "Until you leave.",
    "Gone.",
)
TALKS = Group(
    "Your talks",
    "Shows and talks with their notes, recordings, transcripts, and who was asked to review them.",
    "They are what this house is for.",
    "Whoever may see the show; drafts and reviews only those you name.",
    "Until you withdraw them; then the recording and the transcript go after"
    " {keep_withdrawn_days} days. An upload that you do not go on with ends after"
    " {keep_uploads_days} days.",
    "As you choose: withdrawn, with every file gone within a day, or handed over without your"
    " name. Drafts go in any case.",
)
OPINIONS = Group(
    "What you said and thought",
    "Comments, ratings, reports of talks or comments, and what was decided about yours.",
    "To help colleagues find what is useful, and to keep the house a good place.",
    "Comments whoever may see the talk; ratings only as numbers without a name; reports those who"
    " moderate.",
    "Until you take them back. The words of a removed comment go after {keep_withdrawn_days} days.",
    "Ratings go and every score is as if they had never been. Comments keep their place without"
    " words, and reports their reason without a name or words.",
)
LISTENING = Group(
    "Listening",
    "How far you have come in each talk.",
    "So that you can go on where you stopped, on any device.",
    "You alone. No role can read it.",
    "Until the account is erased.",
    "Gone.",
)
FEEDS = Group(
    "Private feeds",
    "Each feed address with its label, the app that last used it, and the networks it was used"
    " from, cut so that no single device can be told.",
    "So that you can close an address, and are warned when one has leaked.",
    "You alone.",
    "Networks {keep_feed_networks_days} days; a closed address stays recognisable, so that it can"
    " be refused.",
    "Closed for good; labels, apps and networks go.",
)
LETTERS = Group(
    "Letters and notices",
    "Sentences shown to you in the house, and letters sent to your address.",
    "To tell you what happened to something of yours.",
    "You alone.",
    "Letters {keep_mail_days} days, notices {keep_notices_days} days after you have read them.",
    "Gone.",
)
RECORD = Group(
    "The audit log",
    "Who signed in, changed a role, published, withdrew, moderated or erased, and from which"
    " network, cut so that no single device can be told.",
    "So that nobody can misuse the house unseen. It can only be added to.",
    "Admins; your own rows are in your archive.",
    "{keep_audit_days} days.",
    "Stays: it names people by a number that leads nowhere any more.",
)
ARCHIVES = Group(
    "Archives and erasures",
    "The archives you asked for, and the number of each erased account.",
    "So that you can fetch an archive, and so that a restored backup brings nobody back.",
    "You alone.",
    "Archives {keep_exports_days} days.",
    "Archives go. The number stays, to be applied again after a restore.",
)
HOUSE = Group(
    "The house itself",
    "Communities, topics, feeds' dates, scores, work in progress, counters and housekeeping.",
    "To make the house run.",
    "It says nothing about you.",
    "As long as it is needed; counters two days.",
    "Nothing to do.",
)
GROUPS = (
    PROFILE, SIGN_IN, COMMUNITIES, TALKS, OPINIONS, LISTENING, FEEDS, LETTERS, RECORD, ARCHIVES,
    HOUSE,
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """One table. Every column is in exactly one of `told`, `shown`, `left` and `nobodys`.

    `of` is the condition of one person's rows, empty when no row is anybody's. `told` goes into
    the archive's `file` as it is; `shown` as something people can read (see
    `storage/belongings.py`); `left` says why a column stays out; `nobodys` says nothing about a
    person. `fates` names the columns whose fate differs from the table's.
    """

    name: str
    group: Group
    about: str
    of: str = ""
    file: str = ""
    told: str = ""
    shown: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    nobodys: str = ""
    fate: Fate = Fate.GONE
    fates: dict[Fate, str] = field(default_factory=dict)

    @property
    def left_out(self) -> dict[str, str]:
        """Return why each column stays out, one by one."""
        return {column: why for columns, why in self.left.items() for column in columns.split()}

    @property
    def columns(self) -> list[str]:
        """Return all columns that this row speaks of; twice if it speaks of one twice."""
        return [*self.told.split(), *self.shown, *self.left_out, *self.nobodys.split()]

    def fate_of(self, column: str) -> Fate:
        """Return what erasing a person does to a column of their rows."""
        if not self.of or column in self.nobodys.split():
            return Fate.STAYS
        for fate, columns in self.fates.items():
            if column in columns.split():
                return fate
        return self.fate


TABLES = (
    Table(
        "person", PROFILE, "You",
        of="id = :person", file="profile",
        told="ref email name role department about theme emergency created_at signed_in_at"
        " vouched_at totp_at disabled_at erased_at",
        left={"id": NUMBER, "password_hash totp": SECRET, "totp_last": INNER},
        fate=Fate.BLANK, fates={Fate.STAYS: "id ref"},
    ),
    Table(
        "session", SIGN_IN, "Browsers you signed in with",
        of=BY_PERSON, file="sessions",
        told="label network method issuer created_at proved_at seen_at ended_at",
        left={"person_id": ITSELF, "key sid": SECRET},
    ),
    Table(
        "identity", SIGN_IN, "You at a sign-in provider",
        of=BY_PERSON, file="identities",
        told="provider issuer subject email trouble granted created_at seen_at",
        left={"person_id": ITSELF},
    ),
    Table(
        "access_token", SIGN_IN, "Access tokens",
        of=BY_PERSON, file="access-tokens",
        told="label scopes created_at expires_at used_at revoked_at",
        left={"id": NUMBER, "person_id": ITSELF, "key": SECRET},
    ),
    Table(
        "recovery_code", SIGN_IN, "Recovery codes: whether each was used",
        of=BY_PERSON, file="recovery-codes", told="used_at",
        left={"key": SECRET, "person_id": ITSELF},
    ),
    Table(
        "personal_link", SIGN_IN, "Invitations and resets sent to you",
        of="person_id = :person OR email = :their_email", file="links",
        told="kind email role created_at expires_at used_at", shown={"community_id": "community"},
        left={"key": SECRET, "person_id": ITSELF, "made_by": OTHERS},
    ),
    Table(
        "sign_in_try", SIGN_IN, "A sign-in on its way to a provider",
        of=BY_PERSON,
        left={
            "key visit nonce verifier": SECRET, "person_id": ITSELF,
            "provider purpose wanted expires_at": SHORT,
        },
    ),
    Table(
        "sign_in_failure", SIGN_IN, "Failed tries to sign in as you",
        of="account IN (:their_account, :their_code_account)", file="failed-sign-ins",
        told="failures until last_at",
        left={"account": ITSELF, "origin": OTHERS},
    ),
    Table(
        "membership", COMMUNITIES, "Communities you belong to",
        of=BY_PERSON, file="communities", told="role by_group since",
        shown={"community_id": "community"}, left={"person_id": ITSELF},
    ),
    Table(
        "join_request", COMMUNITIES, "Communities you asked to join",
        of=BY_PERSON, file="join-requests", told="words created_at",
        shown={"community_id": "community"}, left={"person_id": ITSELF},
    ),
    Table(
        "show", TALKS, "Your shows",
        of="owner_id = :person", file="shows",
        told="guid slug title description language visibility created_at changed_at",
        shown={"community_id": "community", "audience": "communities"},
        left={"id": NUMBER, "owner_id": ITSELF, "artwork_key": PLACE},
        fate=Fate.TALK,
        fates={Fate.STAYS: "id guid owner_id community_id language visibility audience created_at"
               " changed_at"},
    ),
    Table(
        "episode", TALKS, "Your talks",
        of="author_id = :person", file="talks",
        told="guid title notes language state reason notice revision duration has_video held"
        " public hidden_words created_at uploaded_at playable_at completed_at published_at"
        " withdrawn_at hidden_at changed_at",
        shown={"show_id": "show", "audience": "communities", "withdrawn_by": "you"},
        left={
            "id": NUMBER, "author_id": ITSELF, "attempt transcript_revision": INNER,
            "show_audience words": DERIVED,
        },
        fate=Fate.TALK,
        fates={Fate.STAYS: "id guid show_id author_id language state revision attempt"
               " transcript_revision duration has_video held public created_at uploaded_at"
               " playable_at completed_at published_at withdrawn_at withdrawn_by"
               " changed_at audience show_audience"},
    ),
    Table(
        "episode_topic", TALKS, "What your talks are about",
        of=ON_MY_TALKS, file="talk-topics", shown={"episode_id": "talk", "topic_id": "topic"},
        fate=Fate.TALK,
    ),
    Table(
        "episode_person", TALKS, "Talks you are heard in",
        of=BY_PERSON, file="talks-heard-in", told="role", shown={"episode_id": "talk"},
        left={"person_id": ITSELF},
    ),
    Table(
        "review", TALKS, "Talks you were asked to review, and your talks that others were",
        of="person_id = :person OR " + ON_MY_TALKS, file="reviews", told="created_at until",
        shown={"episode_id": "talk", "person_id": "you"},
    ),
    Table(
        "source", TALKS, "Recordings as you uploaded them",
        of=ON_MY_TALKS, file="recordings",
        told="revision given_name size sha256 container audio_codec video_codec width height"
        " duration created_at",
        shown={"episode_id": "talk"}, left={"key": PLACE},
        fate=Fate.TALK, fates={Fate.BLANK: "given_name"},
    ),
    Table(
        "upload", TALKS, "Uploads",
        of="owner_id = :person", file="uploads",
        told="given_name length offset state created_at changed_at",
        shown={"episode_id": "talk"},
        left={
            "id key": PLACE, "owner_id": ITSELF, "s3_upload_id": SECRET,
            "parts lock locked_at": INNER,
        },
    ),
    Table(
        "rendition", TALKS, "What was made of a recording to hear and see it",
        of=ON_MY_TALKS, file="renditions",
        told="revision kind size type duration bitrate width height lufs dbtp created_at",
        shown={"episode_id": "talk"}, left={"key etag": PLACE},
        fate=Fate.TALK,
    ),
    Table(
        "piece", TALKS, "Stretches of speech on their way to a transcript",
        of=ON_MY_TALKS,
        left={
            "episode_id revision position start end language probability done_at": INNER,
            "key": PLACE, "segments": "the transcript in the archive says the same",
        },
        fate=Fate.TALK,
    ),
    Table(
        "transcript", TALKS, "Transcripts",
        of=ON_MY_TALKS, file="transcripts",
        told="revision source_revision language engine created_at",
        shown={"episode_id": "talk"},
        left={"body": "the transcript's own files say the same", "spoken": DERIVED},
        fate=Fate.TALK,
    ),
    Table(
        "cue", TALKS, "Lines of a transcript",
        of=ON_MY_TALKS,
        left={
            "episode_id position start end text language paragraph timed_words":
            "in the transcript's own files", "spoken": DERIVED,
        },
        fate=Fate.TALK,
    ),
    Table(
        "work_progress", TALKS, "How far the making of a talk is",
        of=ON_MY_TALKS,
        left={"episode_id revision step fraction words executor changed_at": INNER},
        fate=Fate.TALK,
    ),
    Table(
        "rating", OPINIONS, "Your ratings",
        of=BY_PERSON, file="ratings", told="stars source created_at changed_at",
        shown={"episode_id": "talk"}, left={"person_id": ITSELF},
    ),
    Table(
        "comment", OPINIONS, "Your comments",
        of="author_id = :person", file="comments",
        told="id parent_id body at created_at removed_at hidden_at",
        shown={"episode_id": "talk", "removed_by": "you"}, left={"author_id": ITSELF},
        fate=Fate.BLANK,
        fates={Fate.STAYS: "id parent_id episode_id author_id at created_at removed_at removed_by"
               " hidden_at"},
    ),
    Table(
        "report", OPINIONS, "What you reported",
        of="reporter_id = :person", file="reports",
        told="comment_id reason words state created_at",
        shown={"episode_id": "talk"},
        left={"id decision_id": NUMBER, "reporter_id": ITSELF},
        fate=Fate.STAYS, fates={Fate.BLANK: "reporter_id words"},
    ),
    Table(
        "decision", OPINIONS, "What was decided about your talks and comments",
        of="(comment_id IS NULL AND " + ON_MY_TALKS + ")"  # noqa: S608  constants alone
        " OR comment_id IN (SELECT id FROM comment WHERE author_id = :person)",
        file="decisions", told="comment_id act before words decided_at undone_at undone_words",
        shown={"episode_id": "talk", "decided_by": "you", "undone_by": "you"},
        left={"id": NUMBER},
        fate=Fate.STAYS, fates={Fate.BLANK: "words undone_words"},
    ),
    Table(
        "position", LISTENING, "How far you have listened",
        of=BY_PERSON, file="listening", told="seconds finished changed_at",
        shown={"episode_id": "talk"}, left={"person_id": ITSELF},
    ),
    Table(
        "feed_token", FEEDS, "Addresses of your private feeds",
        of=BY_PERSON, file="feeds",
        told="mode label generation created_at revoked_at expires_at used_at used_by",
        shown={"view_id": "view"},
        left={"id": NUMBER, "person_id": ITSELF, "ref nonce": SECRET},
        fate=Fate.STAYS, fates={Fate.BLANK: "label used_by used_at"},
    ),
    Table(
        "feed_key", FEEDS, "How a feed's address is recognised",
        of="token_id IN (SELECT id FROM feed_token WHERE person_id = :person)",
        left={"key": SECRET, "token_id": NUMBER, "generation until": INNER},
        fate=Fate.STAYS,
    ),
    Table(
        "feed_network", FEEDS, "Networks that a feed was used from",
        of="token_id IN (SELECT id FROM feed_token WHERE person_id = :person)",
        file="feed-networks", told="network seen_at", left={"token_id": NUMBER},
    ),
    Table(
        "notice", LETTERS, "Sentences for you",
        of=BY_PERSON, file="notices", told="kind words path created_at read_at",
        left={"id": NUMBER, "person_id": ITSELF},
    ),
    Table(
        "mail", LETTERS, "Letters to you",
        of="person_id = :person OR address = :their_email", file="letters",
        told="kind address subject created_at due_at attempts sent_at failed_at trouble",
        left={
            "id": NUMBER, "person_id": ITSELF, "link_path link_nonce": SECRET,
            "body": "the letter itself lies in your mailbox",
        },
    ),
    Table(
        "audit", RECORD, "Acts of yours, and acts on your account",
        of="actor = :their_ref OR subject = :their_ref", file="audit",
        told="at act subject_kind subject facts", shown={"actor": "actor", "network": "network"},
        left={"id": NUMBER},
        fate=Fate.STAYS,
    ),
    Table(
        "export", ARCHIVES, "Archives you asked for",
        of=BY_PERSON, file="archives",
        told="ref state size reason created_at ready_at expires_at",
        left={"id": NUMBER, "person_id": ITSELF, "key": PLACE},
    ),
    Table(
        "erasure", ARCHIVES, "Numbers of erased accounts",
        of="ref = CAST(:their_ref AS uuid)",
        left={"ref at handed_over": "there is none while the account lives"},
        fate=Fate.STAYS,
    ),
    Table(
        "allowance", HOUSE, "How much of a limit was used",
        of="split_part(bucket, ':', 2) IN (CAST(:person AS text), :their_email, :their_hashed)"
        " OR bucket LIKE '%:' || :their_ref",
        left={"bucket since used": SHORT},
    ),
    Table("audit_link", HOUSE, "The chain of the audit log",
          nobodys="position audit_id hash sealed_at"),
    Table("chore", HOUSE, "When housekeeping was done", nobodys="name begun_at"),
    Table("community", HOUSE, "Communities", nobodys="id slug name purpose joining created_at"),
    Table("episode_score", HOUSE, "What all ratings together say",
          nobodys="episode_id listed score count total"),
    Table("feed_entry", HOUSE, "When a talk entered a feed",
          nobodys="view_id episode_id entered_at"),
    Table("feed_view", HOUSE, "What a feed shows", nobodys="id kind show_id guid changed_at"),
    Table("group_grant", HOUSE, "What a provider's groups grant",
          nobodys="id provider value community_id member_as role created_at"),
    Table("removal", HOUSE, "Files about to be removed", nobodys="key due_at"),
    Table("setup_link", HOUSE, "The link that makes the first account",
          nobodys="key expires_at used_at"),
    Table("spent_token", HOUSE, "What may count only once", nobodys="key expires_at"),
    Table("topic", HOUSE, "Topics", nobodys="id slug name"),
    Table("worker_lease", HOUSE, "Workers", nobodys="executor host pid started_at heartbeat_at"),
)  # fmt: skip


def table(name: str) -> Table:
    """Return the row about one table.

    Raises:
        KeyError: there is none; a test refuses that.
    """
    for known in TABLES:
        if known.name == name:
            return known
    raise KeyError(name)

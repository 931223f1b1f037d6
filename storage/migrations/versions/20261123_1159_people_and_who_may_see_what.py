"""people and who may see what"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


# The audit log takes new rows and nothing else; what is too old goes by retention alone, which
# says so first.
APPEND_ONLY = (
    """
    CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit'
            AND current_setting('dare.retention', true) = 'audit' THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'The audit log is append-only: % refused.', TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit"
    " FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()",
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_link"
    " FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()",
    "CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit"
    " FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()",
    "CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_link"
    " FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()",
)
FREELY = (
    "DROP TRIGGER append_only ON audit",
    "DROP TRIGGER append_only ON audit_link",
    "DROP TRIGGER never_emptied ON audit",
    "DROP TRIGGER never_emptied ON audit_link",
    "DROP FUNCTION audit_is_append_only()",
)

# What somebody says, rates or hears is refused once they are erased, also by a request that was on
# its way. The lock waits for an erasure that is being committed, and looks again.
OF_THE_LIVING = (
    """
    CREATE FUNCTION person_is_not_erased() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        who bigint := (to_jsonb(NEW) ->> TG_ARGV[0])::bigint;
    BEGIN
        PERFORM 1 FROM person WHERE id = who AND erased_at IS NULL FOR KEY SHARE;
        IF NOT FOUND AND EXISTS (SELECT 1 FROM person WHERE id = who) THEN
            RAISE EXCEPTION 'This account was erased.'
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER of_the_living BEFORE INSERT ON rating"
    " FOR EACH ROW EXECUTE FUNCTION person_is_not_erased('person_id')",
    "CREATE TRIGGER of_the_living BEFORE INSERT ON position"
    " FOR EACH ROW EXECUTE FUNCTION person_is_not_erased('person_id')",
    "CREATE TRIGGER of_the_living BEFORE INSERT ON comment"
    " FOR EACH ROW EXECUTE FUNCTION person_is_not_erased('author_id')",
)
OF_ANYBODY = (
    "DROP TRIGGER of_the_living ON rating",
    "DROP TRIGGER of_the_living ON position",
    "DROP TRIGGER of_the_living ON comment",
    "DROP FUNCTION person_is_not_erased()",
)


def _add(table: str, name: str, kind: sa.types.TypeEngine, default: str) -> None:
    """Add a column with a default: for the rows that are there, and for what the release before,
    which knows nothing of it, still writes while machines are renewed one by one."""
    column = sa.Column(name, kind, nullable=False, server_default=sa.text(default))
    op.add_column(table, column)


def upgrade() -> None:
    op.create_table(
        "allowance",
        sa.Column("bucket", sa.String(length=160), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", name=op.f("pk_allowance")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("act", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=40), nullable=False),
        sa.Column("subject_kind", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_actor", "audit", ["actor", "id"], unique=False)
    op.create_index("ix_audit_subject", "audit", ["subject", "id"], unique=False)
    op.create_table(
        "audit_link",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("audit_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_link")),
        sa.UniqueConstraint("audit_id", name=op.f("uq_audit_link_audit_id")),
    )
    op.create_table(
        "chore",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chore")),
    )
    op.create_table(
        "erasure",
        sa.Column("ref", sa.Uuid(), nullable=False),
        sa.Column("handed_over", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ref", name=op.f("pk_erasure")),
    )
    op.create_table(
        "removal",
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_removal")),
    )
    op.create_index(op.f("ix_removal_due_at"), "removal", ["due_at"], unique=False)
    op.create_table(
        "sign_in_failure",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=80), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "origin", name=op.f("pk_sign_in_failure")),
    )
    op.create_table(
        "spent_token",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_spent_token")),
    )
    op.create_index(op.f("ix_spent_token_expires_at"), "spent_token", ["expires_at"], unique=False)
    op.create_table(
        "export",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ref", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('waiting','building','ready','failed','gone')", name=op.f("ck_export_state")
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
            name=op.f("fk_export_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export")),
        sa.UniqueConstraint("ref", name=op.f("uq_export_ref")),
    )
    op.create_index(op.f("ix_export_person_id"), "export", ["person_id"], unique=False)
    op.create_table(
        "group_grant",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("community_id", sa.BigInteger(), nullable=True),
        sa.Column("member_as", sa.String(length=10), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "member_as in ('member','steward')", name=op.f("ck_group_grant_member_as")
        ),
        sa.CheckConstraint(
            "role is null or role in ('contributor','moderator','admin')",
            name=op.f("ck_group_grant_role"),
        ),
        sa.CheckConstraint(
            "community_id is not null or role is not null",
            name=op.f("ck_group_grant_grants_something"),
        ),
        sa.ForeignKeyConstraint(
            ["community_id"],
            ["community.id"],
            name=op.f("fk_group_grant_community_id_community"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_grant")),
    )
    op.create_index(
        op.f("ix_group_grant_community_id"), "group_grant", ["community_id"], unique=False
    )
    op.create_index("ix_group_grant_value", "group_grant", ["provider", "value"], unique=False)
    op.create_table(
        "identity",
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("trouble", sa.String(length=300), nullable=False),
        sa.Column("granted", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
            name=op.f("fk_identity_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_identity")),
    )
    op.create_index(op.f("ix_identity_person_id"), "identity", ["person_id"], unique=False)
    op.create_table(
        "join_request",
        sa.Column("community_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["community_id"],
            ["community.id"],
            name=op.f("fk_join_request_community_id_community"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
            name=op.f("fk_join_request_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("community_id", "person_id", name=op.f("pk_join_request")),
    )
    op.create_index(op.f("ix_join_request_person_id"), "join_request", ["person_id"], unique=False)
    op.create_table(
        "mail",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("address", sa.String(length=254), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("link_path", sa.String(length=100), nullable=False),
        sa.Column("link_nonce", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trouble", sa.String(length=300), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_mail_person_id_person"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail")),
    )
    op.create_index(
        "ix_mail_due",
        "mail",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("sent_at IS NULL AND failed_at IS NULL"),
    )
    op.create_index(op.f("ix_mail_person_id"), "mail", ["person_id"], unique=False)
    op.create_table(
        "notice",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("words", sa.String(length=1000), nullable=False),
        sa.Column("path", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
            name=op.f("fk_notice_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    op.create_index(
        "ix_notice_mine", "notice", ["person_id", sa.literal_column("id DESC")], unique=False
    )
    op.create_index(
        "ix_notice_unread",
        "notice",
        ["person_id"],
        unique=False,
        postgresql_where=sa.text("read_at IS NULL"),
    )
    op.create_table(
        "personal_link",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("community_id", sa.BigInteger(), nullable=True),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('invitation','reset')", name=op.f("ck_personal_link_kind")),
        sa.ForeignKeyConstraint(
            ["community_id"],
            ["community.id"],
            name=op.f("fk_personal_link_community_id_community"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["made_by"],
            ["person.id"],
            name=op.f("fk_personal_link_made_by_person"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
            name=op.f("fk_personal_link_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_personal_link")),
    )
    op.create_index(op.f("ix_personal_link_email"), "personal_link", ["email"], unique=False)
    op.create_index(
        op.f("ix_personal_link_person_id"), "personal_link", ["person_id"], unique=False
    )
    op.create_table(
        "recovery_code",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
            name=op.f("fk_recovery_code_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_recovery_code")),
    )
    op.create_index(
        op.f("ix_recovery_code_person_id"), "recovery_code", ["person_id"], unique=False
    )
    op.create_table(
        "sign_in_try",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("purpose", sa.String(length=10), nullable=False),
        sa.Column("visit", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("verifier", sa.String(length=128), nullable=False),
        sa.Column("wanted", sa.String(length=2000), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
            name=op.f("fk_sign_in_try_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sign_in_try")),
    )
    op.create_index(op.f("ix_sign_in_try_expires_at"), "sign_in_try", ["expires_at"], unique=False)
    op.create_table(
        "review",
        sa.Column("episode_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["episode_id"],
            ["episode.id"],
            name=op.f("fk_review_episode_id_episode"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
            name=op.f("fk_review_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("episode_id", "person_id", name=op.f("pk_review")),
    )
    op.create_index(op.f("ix_review_person_id"), "review", ["person_id"], unique=False)
    op.create_table(
        "feed_network",
        sa.Column("token_id", sa.BigInteger(), nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["token_id"],
            ["feed_token.id"],
            name=op.f("fk_feed_network_token_id_feed_token"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_id", "network", name=op.f("pk_feed_network")),
    )
    op.create_table(
        "decision",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("episode_id", sa.BigInteger(), nullable=False),
        sa.Column("comment_id", sa.BigInteger(), nullable=True),
        sa.Column("act", sa.String(length=10), nullable=False),
        sa.Column("before", sa.String(length=10), nullable=False),
        sa.Column("words", sa.String(length=300), nullable=False),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_by", sa.BigInteger(), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_words", sa.String(length=300), nullable=False),
        sa.CheckConstraint(
            "act in ('dismissed','hidden','removed','restored')", name=op.f("ck_decision_act")
        ),
        sa.CheckConstraint(
            "before in ('standing','hidden','removed','taken-back')",
            name=op.f("ck_decision_before"),
        ),
        sa.ForeignKeyConstraint(
            ["comment_id"],
            ["comment.id"],
            name=op.f("fk_decision_comment_id_comment"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["decided_by"],
            ["person.id"],
            name=op.f("fk_decision_decided_by_person"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["episode_id"],
            ["episode.id"],
            name=op.f("fk_decision_episode_id_episode"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["undone_by"],
            ["person.id"],
            name=op.f("fk_decision_undone_by_person"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_index(op.f("ix_decision_comment_id"), "decision", ["comment_id"], unique=False)
    op.create_index(op.f("ix_decision_episode_id"), "decision", ["episode_id"], unique=False)
    op.create_table(
        "report",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("episode_id", sa.BigInteger(), nullable=False),
        sa.Column("comment_id", sa.BigInteger(), nullable=True),
        sa.Column("reporter_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("words", sa.String(length=1000), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state in ('open','acted','dismissed')", name=op.f("ck_report_state")),
        sa.ForeignKeyConstraint(
            ["comment_id"],
            ["comment.id"],
            name=op.f("fk_report_comment_id_comment"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["decision_id"],
            ["decision.id"],
            name=op.f("fk_report_decision_id_decision"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["episode_id"],
            ["episode.id"],
            name=op.f("fk_report_episode_id_episode"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["reporter_id"],
            ["person.id"],
            name=op.f("fk_report_reporter_id_person"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report")),
    )
    op.create_index(op.f("ix_report_comment_id"), "report", ["comment_id"], unique=False)
    op.create_index(op.f("ix_report_decision_id"), "report", ["decision_id"], unique=False)
    op.create_index(op.f("ix_report_episode_id"), "report", ["episode_id"], unique=False)
    op.create_index("ix_report_queue", "report", ["state", "id"], unique=False)
    op.create_index(op.f("ix_report_reporter_id"), "report", ["reporter_id"], unique=False)
    op.create_index(
        "uq_report_open",
        "report",
        ["reporter_id", "episode_id", sa.literal_column("coalesce(comment_id, 0)")],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
    _add(
        "access_token",
        "scopes",
        postgresql.JSONB(astext_type=sa.Text()),
        '\'["read", "take-part", "publish"]\'',
    )
    op.add_column("comment", sa.Column("removed_by", sa.BigInteger(), nullable=True))
    op.add_column("comment", sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True))
    op.create_foreign_key(
        op.f("fk_comment_removed_by_person"),
        "comment",
        "person",
        ["removed_by"],
        ["id"],
        ondelete="SET NULL",
    )
    _add("community", "joining", sa.String(length=10), "'open'")
    _add("episode", "held", sa.Boolean(), "false")
    op.add_column("episode", sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True))
    _add("episode", "hidden_words", sa.String(length=300), "''")
    op.add_column(
        "episode", sa.Column("show_audience", postgresql.ARRAY(sa.BigInteger()), nullable=True)
    )
    op.add_column(
        "episode", sa.Column("audience", postgresql.ARRAY(sa.BigInteger()), nullable=True)
    )
    _add("episode", "public", sa.Boolean(), "false")
    op.add_column("feed_key", sa.Column("until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("feed_token", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_feed_key_token_id"), "feed_key", ["token_id"], unique=False)
    op.create_index(
        "ix_episode_show_changed",
        "episode",
        ["show_id", "changed_at"],
        unique=False,
        postgresql_where=sa.text("published_at IS NOT NULL"),
    )
    _add("membership", "by_group", sa.Boolean(), "false")
    op.add_column("person", sa.Column("totp", sa.String(length=255), nullable=True))
    op.add_column("person", sa.Column("totp_at", sa.DateTime(timezone=True), nullable=True))
    _add("person", "totp_last", sa.BigInteger(), "0")
    _add("person", "emergency", sa.Boolean(), "false")
    op.add_column("person", sa.Column("signed_in_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("person", sa.Column("vouched_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("person", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    _add("session", "network", sa.String(length=64), "''")
    _add("session", "method", sa.String(length=20), "'password'")
    op.add_column("session", sa.Column("issuer", sa.String(length=255), nullable=True))
    op.add_column("session", sa.Column("sid", sa.String(length=255), nullable=True))
    _add("session", "proved_at", sa.DateTime(timezone=True), "now()")
    op.add_column("session", sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_session_provider", "session", ["issuer", "sid"], unique=False)
    _add("show", "visibility", sa.String(length=12), "'organisation'")
    op.add_column("show", sa.Column("audience", postgresql.ARRAY(sa.BigInteger()), nullable=True))
    op.execute("UPDATE session SET proved_at = created_at")
    # Who looks after a community is said by its memberships from now on.
    op.drop_constraint(op.f("ck_person_role"), "person", type_="check")
    op.execute("UPDATE person SET role = 'contributor' WHERE role = 'steward'")
    op.create_check_constraint(
        op.f("ck_person_role"), "person", "role in ('learner','contributor','moderator','admin')"
    )
    op.execute("UPDATE membership SET role = 'member' WHERE role <> 'steward'")
    op.create_check_constraint(
        op.f("ck_membership_role"), "membership", "role in ('member','steward')"
    )
    op.create_check_constraint(
        op.f("ck_community_joining"), "community", "joining in ('open','request','group')"
    )
    op.create_check_constraint(
        op.f("ck_show_visibility"),
        "show",
        "visibility in ('organisation','communities','public')",
    )
    op.create_check_constraint(
        op.f("ck_show_audience"), "show", "(visibility = 'communities') = (audience is not null)"
    )
    for statement in APPEND_ONLY + OF_THE_LIVING:
        op.execute(statement)


def downgrade() -> None:
    for statement in FREELY + OF_ANYBODY:
        op.execute(statement)
    op.drop_constraint(op.f("ck_show_audience"), "show", type_="check")
    op.drop_constraint(op.f("ck_show_visibility"), "show", type_="check")
    op.drop_constraint(op.f("ck_community_joining"), "community", type_="check")
    op.drop_constraint(op.f("ck_membership_role"), "membership", type_="check")
    op.drop_constraint(op.f("ck_person_role"), "person", type_="check")
    op.create_check_constraint(
        op.f("ck_person_role"),
        "person",
        "role in ('learner','contributor','steward','moderator','admin')",
    )
    op.drop_column("show", "audience")
    op.drop_column("show", "visibility")
    op.drop_index("ix_session_provider", table_name="session")
    op.drop_column("session", "ended_at")
    op.drop_column("session", "proved_at")
    op.drop_column("session", "sid")
    op.drop_column("session", "issuer")
    op.drop_column("session", "method")
    op.drop_column("session", "network")
    op.drop_column("person", "erased_at")
    op.drop_column("person", "vouched_at")
    op.drop_column("person", "signed_in_at")
    op.drop_column("person", "emergency")
    op.drop_column("person", "totp_last")
    op.drop_column("person", "totp_at")
    op.drop_column("person", "totp")
    op.drop_column("membership", "by_group")
    op.drop_index("ix_episode_show_changed", table_name="episode")
    op.drop_index(op.f("ix_feed_key_token_id"), table_name="feed_key")
    op.drop_column("feed_token", "expires_at")
    op.drop_column("feed_key", "until")
    op.drop_column("episode", "public")
    op.drop_column("episode", "audience")
    op.drop_column("episode", "show_audience")
    op.drop_column("episode", "hidden_words")
    op.drop_column("episode", "hidden_at")
    op.drop_column("episode", "held")
    op.drop_column("community", "joining")
    op.drop_constraint(op.f("fk_comment_removed_by_person"), "comment", type_="foreignkey")
    op.drop_column("comment", "hidden_at")
    op.drop_column("comment", "removed_by")
    op.drop_column("access_token", "scopes")
    op.drop_index("uq_report_open", table_name="report", postgresql_where=sa.text("state = 'open'"))
    op.drop_index(op.f("ix_report_reporter_id"), table_name="report")
    op.drop_index("ix_report_queue", table_name="report")
    op.drop_index(op.f("ix_report_episode_id"), table_name="report")
    op.drop_index(op.f("ix_report_decision_id"), table_name="report")
    op.drop_index(op.f("ix_report_comment_id"), table_name="report")
    op.drop_table("report")
    op.drop_index(op.f("ix_decision_episode_id"), table_name="decision")
    op.drop_index(op.f("ix_decision_comment_id"), table_name="decision")
    op.drop_table("decision")
    op.drop_table("feed_network")
    op.drop_index(op.f("ix_review_person_id"), table_name="review")
    op.drop_table("review")
    op.drop_index(op.f("ix_sign_in_try_expires_at"), table_name="sign_in_try")
    op.drop_table("sign_in_try")
    op.drop_index(op.f("ix_recovery_code_person_id"), table_name="recovery_code")
    op.drop_table("recovery_code")
    op.drop_index(op.f("ix_personal_link_person_id"), table_name="personal_link")
    op.drop_index(op.f("ix_personal_link_email"), table_name="personal_link")
    op.drop_table("personal_link")
    op.drop_index(
        "ix_notice_unread", table_name="notice", postgresql_where=sa.text("read_at IS NULL")
    )
    op.drop_index("ix_notice_mine", table_name="notice")
    op.drop_table("notice")
    op.drop_index(op.f("ix_mail_person_id"), table_name="mail")
    op.drop_index(
        "ix_mail_due",
        table_name="mail",
        postgresql_where=sa.text("sent_at IS NULL AND failed_at IS NULL"),
    )
    op.drop_table("mail")
    op.drop_index(op.f("ix_join_request_person_id"), table_name="join_request")
    op.drop_table("join_request")
    op.drop_index(op.f("ix_identity_person_id"), table_name="identity")
    op.drop_table("identity")
    op.drop_index("ix_group_grant_value", table_name="group_grant")
    op.drop_index(op.f("ix_group_grant_community_id"), table_name="group_grant")
    op.drop_table("group_grant")
    op.drop_index(op.f("ix_export_person_id"), table_name="export")
    op.drop_table("export")
    op.drop_index(op.f("ix_spent_token_expires_at"), table_name="spent_token")
    op.drop_table("spent_token")
    op.drop_table("sign_in_failure")
    op.drop_index(op.f("ix_removal_due_at"), table_name="removal")
    op.drop_table("removal")
    op.drop_table("erasure")
    op.drop_table("chore")
    op.drop_table("audit_link")
    op.drop_index("ix_audit_subject", table_name="audit")
    op.drop_index("ix_audit_actor", table_name="audit")
    op.drop_table("audit")
    op.drop_table("allowance")

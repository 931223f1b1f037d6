"""What groups grant: read from claims, weighed by the table, and what becomes of a role."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.identity.groups import Granted, points_elsewhere, read, role_after, together, worth
from service.identity.oidc import Vouched
from storage.models import ROLES, GroupGrant

roles = st.sampled_from(ROLES)
# A group cannot grant the lowest role, nor are new people more than contributors.
granted_roles = st.none() | st.sampled_from(ROLES[1:])
at_first = st.sampled_from(ROLES[:2])
pieces = st.builds(
    Granted,
    granted_roles,
    st.dictionaries(st.integers(1, 5), st.sampled_from(["member", "steward"])),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def grant(value, community_id=None, member_as="member", role=None):
    return GroupGrant(
        provider="acme", value=value, community_id=community_id, member_as=member_as, role=role
    )


def test_a_list_is_read_value_by_value_and_oddities_are_left_out():
    said = read({"groups": ["a", "A", "a", 7, None, "", "b" * 256, ["c"]]}, "groups")
    assert (said.values, said.trouble) == ({"a", "A"}, "")
    assert read({"roles": "one"}, "roles").values == {"one"}
    assert read({"groups": []}, "groups").values == frozenset()


def test_a_thousand_groups_are_read_and_not_one_more():
    assert len(read({"groups": [str(n) for n in range(1000)]}, "groups").values) == 1000
    late = read({"groups": [str(n) for n in range(1001)]}, "groups")
    assert late.values is None
    assert "more than 1000 groups" in late.trouble


@pytest.mark.parametrize(
    ("claims", "points"),
    [
        ({"_claim_names": {"groups": "src1"}}, True),
        ({"hasgroups": True}, True),
        ({"hasgroups": "true"}, True),
        ({"hasgroups": []}, False),
        ({"_claim_names": {"address": "src1"}}, False),
        ({"_claim_names": "groups"}, False),
        ({}, False),
    ],
)
def test_a_link_in_place_of_the_groups_is_known(claims, points):
    assert points_elsewhere(claims, "groups") is points
    assert ("link" in read(claims, "groups").trouble) is points


@given(st.dictionaries(st.sampled_from(["groups", "hasgroups", "_claim_names"]), anything))
def test_whatever_a_provider_says_is_read_or_reported(claims):
    said = read(claims, "groups")
    assert (said.values is None) == bool(said.trouble)


def test_what_groups_are_worth_by_a_table_worked_by_hand():
    table = [
        grant("site", 1),
        grant("leads", 1, "steward"),
        grant("leads", 2),
        grant("staff", role="contributor"),
        grant("leads", role="moderator"),
        grant("bosses", 3, role="admin"),
    ]
    assert worth(frozenset({"site", "staff"}), table) == Granted("contributor", {1: "member"})
    assert worth(frozenset({"leads", "site", "staff"}), table) == Granted(
        "moderator", {1: "steward", 2: "member"}
    )
    assert worth(frozenset({"Site", "lead"}), table) == Granted()


@given(st.lists(pieces))
def test_together_is_the_highest_of_each_and_survives_being_kept(given_pieces):
    whole = together(given_pieces)
    assert together([whole, *given_pieces]) == whole == together(reversed(given_pieces))
    assert set(whole.communities) == {key for one in given_pieces for key in one.communities}
    assert Granted.of_row(whole.as_row()) == whole


@pytest.mark.parametrize(
    ("current", "before", "after", "role"),
    [
        ("contributor", None, None, "contributor"),
        ("contributor", None, "moderator", "moderator"),
        ("moderator", "moderator", "moderator", "moderator"),
        ("moderator", "moderator", "admin", "admin"),
        ("admin", "admin", "moderator", "moderator"),
        ("moderator", "moderator", None, "learner"),
        ("contributor", "contributor", None, "learner"),
        # By hand:
        ("admin", None, "moderator", "admin"),
        ("admin", "moderator", None, "admin"),
        ("contributor", "moderator", None, "contributor"),
        ("learner", "admin", "moderator", "moderator"),
    ],
)
def test_what_becomes_of_a_role_worked_by_hand(current, before, after, role):
    assert role_after(current, before, after, "learner") == role


@given(roles, granted_roles, granted_roles, at_first)
def test_a_role_changes_for_a_grant_or_back_and_then_stands(current, before, after, first):
    role = role_after(current, before, after, first)
    assert role in {current, after, first}
    if before is None:
        assert ROLES.index(role) >= ROLES.index(current)
    if role != current:
        # The same groups once more change nothing.
        assert role_after(role, after, after, first) == role


# Of whom


@given(st.dictionaries(st.sampled_from(["name", "given_name", "email", "sid"]), anything))
def test_whatever_the_claims_hold_they_can_be_stored(claims):
    vouched = Vouched("https://idp.example", "ana", claims)
    for said in (vouched.name, vouched.email, vouched.sid or ""):
        assert "\x00" not in said
        assert said.encode("utf-8").decode() == said
    assert not vouched.has_confirmed_email
    assert vouched.proved_at is None


def test_half_a_character_is_left_out():
    assert Vouched("i", "s", {"name": "A\ud800na\x00 "}).name == "Ana"

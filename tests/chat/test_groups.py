"""The groups that come with the migrations, and what an operator makes of them."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command

from chat.access.groups import GROUPS, grant
from chat.models import GrantedPermission

pytestmark = pytest.mark.django_db


def may(group: str) -> set[str]:
    user = User.objects.create_user(f"of {group}")
    user.groups.add(Group.objects.get(name=group))
    return user.get_all_permissions()


def test_the_groups_are_there_with_what_their_members_do() -> None:
    agent, lead, editor, operator, auditor = (may(group) for group in GROUPS)
    assert agent < lead
    assert "chat.reassign_conversation" in lead - agent
    assert {"chat.chat_as_user", "contexts.view_trace", "chat.view_conversation"} <= agent
    assert not [name for name in agent if "document" in name and "view" not in name]
    assert {"retrieval.add_document", "retrieval.change_document", "retrieval.delete_document"} <= editor
    others = {name for name in editor if name.startswith(("chat.", "contexts.", "events.", "auth."))}
    assert others == {"chat.view_feedback", "chat.view_gap", "chat.change_gap", "chat.view_gapquestion"}
    assert {"events.change_event", "chat.add_apikey", "axes.delete_accessattempt"} <= operator
    assert operator.isdisjoint({"chat.view_conversation", "contexts.view_trace", "auth.change_user"})
    assert {"contexts.view_trace", "axes.view_accesslog", "auth.view_user", "events.view_event"} <= auditor
    assert not [name for name in auditor if ".view_" not in name]


def test_every_line_of_the_table_names_something() -> None:
    for group, tables in GROUPS.items():
        for table, words in tables.items():
            app, _, model = table.partition(".")
            known = Permission.objects.filter(content_type__app_label=app)
            for word in words.split():
                names = {word, f"{word}_{model}"} if model != "*" else {f"{word}_{name}" for name in
                         known.values_list("content_type__model", flat=True)}  # fmt: skip
                assert known.filter(codename__in=names).exists(), (group, table, word)


def test_migrating_again_changes_nothing_that_an_operator_decided() -> None:
    editor = Group.objects.get(name="Editor")
    taken = Permission.objects.get(codename="delete_document")
    given = Permission.objects.get(codename="view_event")
    editor.permissions.remove(taken)
    editor.permissions.add(given)
    Group.objects.get(name="Auditor").delete()
    call_command("migrate", verbosity=0)
    left = set(editor.permissions.all())
    assert taken not in left
    assert given in left
    assert not Group.objects.filter(name="Auditor").exists()


def test_a_later_version_can_add_a_permission() -> None:
    GrantedPermission.objects.filter(group="Editor", permission="retrieval.view_chunk").delete()
    Group.objects.get(name="Editor").permissions.remove(Permission.objects.get(codename="view_chunk"))
    grant()
    assert Group.objects.get(name="Editor").permissions.filter(codename="view_chunk").exists()


def test_a_group_of_that_name_from_before_is_somebodys_own() -> None:
    GrantedPermission.objects.filter(group="Editor").delete()
    own = Group.objects.get(name="Editor")
    own.permissions.clear()
    grant()
    assert not own.permissions.exists()

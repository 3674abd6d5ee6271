"""Each page and action of the admin needs its own permission: all that the resolver knows, so also the next one."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from common.admin.permissions import permissions_of
from fabra import admin_menu
from tests.chat.admin_rows import fill

pytestmark = pytest.mark.django_db

# Pages of any staff user: their own account, and what shows only what they may see.
OPEN = {
    "index", "login", "logout", "password_change", "password_change_done", "jsi18n", "search", "autocomplete",
    "app_list", "view_on_site", None,
}  # fmt: skip
ALSO = {"admin:auth_user_add": {"auth.change_user"}}
"""What Django itself asks for beside the page's own permission."""
OWN = {"changelist": "view", "add": "add", "change": "view", "delete": "delete", "history": "view"}


class Asked:
    """A user that notes which permissions it is asked for."""

    is_superuser = is_staff = is_active = True

    def __init__(self, *, grants: bool) -> None:
        self.grants = grants
        self.names: set[str] = set()

    def has_perm(self, name: str, obj: Any = None) -> bool:
        self.names.add(name)
        return self.grants

    def has_perms(self, names: Any) -> bool:
        return all([self.has_perm(name) for name in names])


class Page:
    """A page of the admin, with what it needs."""

    def __init__(self, name: str, pattern: URLPattern) -> None:
        self.name, self.route, self.view = name, str(pattern.pattern), pattern.callback
        self.model_admin = getattr(self.view, "model_admin", None)

    def url(self) -> str:
        count = len(re.findall(r"<", self.route))
        assert count <= 1, self.route
        if not count:
            return reverse(self.name)
        if self.model_admin is None:
            return reverse(self.name, args=[1])
        rows = self.model_admin.model._default_manager.order_by("pk")
        return reverse(self.name, args=[(rows.first() or rows.create(name="one")).pk])

    def needs(self, *, grants: bool) -> set[str]:
        """Return the permissions that are asked for: those that open it, or all that could."""
        user = Asked(grants=grants)
        if self.model_admin is None:
            user.has_perms(self.view.allowed_permissions)
            return user.names
        request = RequestFactory().get("/")
        request.user = user  # type: ignore[assignment]
        kind = self.name.rpartition("_")[2]
        own = self.name == f"admin:{self.model_admin.opts.label_lower.replace('.', '_')}_{kind}" and OWN.get(kind)
        for name in [own] if own else permissions_of(self.view):
            if own:  # some tables are closed for everybody
                user.has_perm(f"{self.model_admin.opts.app_label}.{name}_{self.model_admin.opts.model_name}")
                if name == "view" and not grants:
                    user.has_perm(f"{self.model_admin.opts.app_label}.change_{self.model_admin.opts.model_name}")
            else:
                self.model_admin.is_allowed(request, [name])
        return user.names


def status_of(client: Client, page: Page) -> int:
    """Return the status of the page; of one that only takes a POST, that of a POST."""
    status = client.get(page.url()).status_code
    return client.post(page.url()).status_code if status == 405 else status


def leaves(resolver: Any, prefix: str = "", namespace: str = "") -> Iterator[tuple[str, str, URLPattern]]:
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from leaves(pattern, path, f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace)
        elif path.startswith("admin/"):
            yield f"{namespace}{pattern.name}", pattern.name or "", pattern


def pages() -> list[Page]:
    found = leaves(get_resolver())
    return [Page(full, pattern) for full, name, pattern in found if (name or None) not in OPEN]


@pytest.fixture
def staff(client: Client) -> User:
    user = User.objects.create_user("clerk", is_staff=True)
    client.force_login(user)
    return user


def give(user: User, names: set[str]) -> None:
    every = Permission.objects.select_related("content_type")
    user.user_permissions.set(
        [permission for permission in every if f"{permission.content_type.app_label}.{permission.codename}" in names]
    )


def everything() -> set[str]:
    every = Permission.objects.select_related("content_type")
    return {f"{permission.content_type.app_label}.{permission.codename}" for permission in every}


def test_staff_without_permissions_opens_no_page(client: Client, staff: User) -> None:
    fill(1)
    opened = [page.name for page in pages() if status_of(client, page) != 403]
    assert not opened
    assert len(pages()) > 100
    index = client.get(reverse("admin:index"))
    assert index.status_code == 200
    assert not index.context["app_list"]
    assert admin_menu.navigation(index.wsgi_request) == []


def test_exactly_its_permission_opens_a_page(client: Client, staff: User, admin_client: Client) -> None:
    fill(1)
    Group.objects.filter(permissions__isnull=False).delete()  # one must hold a group's rights to change it
    wrong = []
    for page in pages():
        give(staff, page.needs(grants=True) | ALSO.get(page.name, set()))
        got = status_of(client, page)
        if got != 200 and got != (right := status_of(admin_client, page)):  # some pages only redirect
            wrong.append((page.name, page.needs(grants=True), got, right))
    assert not wrong


def test_all_other_permissions_do_not_open_a_page_of_our_own(client: Client, staff: User) -> None:
    fill(1)
    every = everything()
    ours = [page for page in pages() if page.name.rpartition("_")[2] not in OWN or ":" in page.name.partition(":")[2]]
    assert len(ours) > 10
    opened = []
    for page in ours:
        give(staff, every - page.needs(grants=False))
        if status_of(client, page) != 403:
            opened.append((page.name, page.needs(grants=False)))
    assert not opened


def test_every_bulk_action_declares_its_permissions() -> None:
    bare = [
        (str(model_admin), name)
        for model_admin in admin.site._registry.values()
        for name in model_admin.actions or ()
        if not hasattr(model_admin.get_action(name)[0], "allowed_permissions")
    ]
    assert not bare


@pytest.mark.parametrize("model_admin", admin.site._registry.values(), ids=str)
def test_every_page_of_a_table_is_guarded(model_admin: Any) -> None:
    from common.admin.permissions import GuardedAdmin

    assert isinstance(model_admin, GuardedAdmin)


def test_the_menu_and_the_front_page_show_what_one_may_open(client: Client, staff: User) -> None:
    entries = [page for _, group in admin_menu._MENU for _, _, page in group]
    for entry in entries:
        url = admin_menu._url(entry)
        name = entry if ":" in entry else f"admin:{entry}_changelist"
        page = next(page for page in pages() if page.name == name)
        give(staff, page.needs(grants=True))
        request = RequestFactory().get("/")
        request.user = User.objects.get(pk=staff.pk)
        shown = [item["link"] for group in admin_menu.navigation(request) for item in group["items"]]
        assert url in shown
        assert len(shown) <= 2, shown  # the search test has the chunks' permission
    give(staff, {"retrieval.view_document"})
    index = client.get(reverse("admin:index"))
    assert [model["object_name"] for app in index.context["app_list"] for model in app["models"]] == ["Document"]


def test_rows_of_other_tables_are_left_out(client: Client, staff: User) -> None:
    fill(1)
    pages_of = {model.__name__: page for model, page in admin.site._registry.items()}
    version = pages_of["DocumentVersion"].model._default_manager.get()
    url = reverse("admin:retrieval_documentversion_change", args=[version.pk])
    give(staff, {"retrieval.view_documentversion"})
    assert "traces that used it" not in client.get(url).content.decode().lower()
    give(staff, {"retrieval.view_documentversion", "contexts.view_trace"})
    assert "traces that used it" in client.get(url).content.decode().lower()


def test_nobody_gives_or_takes_over_more_rights_than_their_own(client: Client, staff: User) -> None:
    root = User.objects.create_superuser("root")
    give(staff, {"auth.change_user", "auth.view_user", "auth.change_group", "auth.view_group"})
    equal = User.objects.create_user("equal")
    change = reverse("admin:auth_user_change", args=[staff.pk])
    client.post(change, {"username": "clerk", "is_superuser": "on", "is_active": "on"})
    assert not User.objects.get(pk=staff.pk).is_superuser
    assert client.get(reverse("admin:auth_user_password_change", args=[root.pk])).status_code == 403
    assert client.get(reverse("admin:auth_user_password_change", args=[equal.pk])).status_code == 200

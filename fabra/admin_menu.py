"""The admin's theme and menu."""

from typing import Any

from django.apps import apps
from django.templatetags.static import static
from django.urls import get_script_prefix, resolve, reverse

from fabra.team_apps import team_apps

# The chat page's accent colour: its --accent is 600 in light mode and 400 in dark mode.
_ACCENT = {
    "50": "#f0faf9",
    "100": "#dceeec",
    "200": "#b9e3de",
    "300": "#8be0d7",
    "400": "#58cabf",
    "500": "#1f9189",
    "600": "#0b6e69",
    "700": "#095a56",
    "800": "#0a4845",
    "900": "#163a38",
    "950": "#06211f",
}

# The groups of the menu; an entry is a label, an icon, and a model's admin list or the name of a URL.
_MENU = [
    (
        "Chat",
        [
            ("Inbox", "support_agent", "inbox:inbox"),
            ("Conversations", "forum", "chat_conversation"),
            ("Feedback", "thumbs_up_down", "chat_feedback"),
            ("Gaps", "contact_support", "chat_gap"),
            ("Traces", "account_tree", "contexts_trace"),
            ("Customers", "person", "chat_customer"),
            ("Tickets", "confirmation_number", "chat_ticket"),
            ("Handover", "schedule", "chat_handoversettings"),
            ("Phrases", "translate", "chat_languagephrases"),
            ("Bots", "smart_toy", "chat_bot"),
            ("Limits", "speed", "chat_limitsettings"),
        ],
    ),
    (
        "Knowledge",
        [
            ("Documents", "description", "retrieval_document"),
            ("Versions", "history", "retrieval_documentversion"),
            ("Chunks", "segment", "retrieval_chunk"),
            ("Indexes", "database", "retrieval_index"),
            ("Generations", "layers", "retrieval_generation"),
            ("Ingestion", "upload_file", "retrieval_ingestionrun"),
            ("Model sources", "table_rows", "retrieval_modelsource"),
            ("Retrievers", "search", "retrieval_retrieverdefinition"),
            ("Search test", "manage_search", "retrieval:search_test"),
            ("Golden questions", "fact_check", "retrieval_goldenquestion"),
            ("Evaluation runs", "monitoring", "retrieval_evaluationrun"),
            ("Calibrations", "straighten", "retrieval_calibrationrun"),
        ],
    ),
    (
        "Features",
        [
            ("Entities", "category", "features_entitydefinition"),
            ("Features", "tune", "features_featuredefinition"),
            ("Feature values", "data_object", "features_featurevalue"),
            ("Materialisation runs", "play_circle", "features_materializationrun"),
            ("Schedule", "schedule", "django_celery_beat_periodictask"),
        ],
    ),
    (
        "Operations",
        [
            ("Language models", "neurology", "chat_modelprovider"),
            ("Spending", "payments", "spending:spending"),
            ("Events", "bolt", "events_event"),
            ("Webhook sources", "webhook", "events_webhooksource"),
            ("Webhook endpoints", "send", "events_webhookendpoint"),
            ("Webhook deliveries", "outbox", "events_webhookdelivery"),
            ("Context definitions", "layers", "contexts_contextdefinition"),
            ("Storage", "hard_drive", "common:storage"),
        ],
    ),
    (
        "Access",
        [
            ("Users", "group", "auth_user"),
            ("Groups", "groups", "auth_group"),
            ("API keys", "key", "chat_apikey"),
            ("Signing of users", "draw", "chat_usersigning"),
            ("Audit log", "policy", "chat_auditentry"),
            ("Sign-in attempts", "lock", "axes_accessattempt"),
            ("Failed sign-ins", "gpp_maybe", "axes_accessfailurelog"),
            ("Sign-ins", "login", "axes_accesslog"),
        ],
    ),
]


def navigation(request: Any) -> list[dict[str, Any]]:
    """Return the groups of the menu with the entries whose pages the user may open."""
    groups = [
        {"title": title, "items": [_entry(*entry) for entry in entries if _may_open(request, entry[2])]}
        for title, entries in [*_of_team_apps(), *_MENU]
    ]
    return [group for group in groups if group["items"]]


def _of_team_apps() -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Return a group for each app of FABRA_APPS, with its tables that have an admin page."""
    from common.admin.site import site  # the settings import this module before there are apps

    return [
        (
            str(config.verbose_name),
            [
                (
                    str(model._meta.verbose_name_plural).capitalize(),
                    "table_rows",
                    model._meta.label_lower.replace(".", "_"),
                )
                for model in config.get_models()
                if site.is_registered(model)
            ],
        )
        for config in team_apps()
    ]


def _entry(label: str, icon: str, page: str) -> dict[str, Any]:
    return {"title": label, "icon": icon, "link": _url(page)}


def _may_open(request: Any, page: str) -> bool:
    from common.admin.site import site

    if ":" in page:
        path = _url(page).removeprefix(get_script_prefix()[:-1])
        return bool(request.user.has_perms(resolve(path).func.allowed_permissions))  # type: ignore[attr-defined]
    try:
        app, name = page.rsplit("_", 1)
        model = apps.get_model(app, name)
    except LookupError:  # its app is not in this project
        return False
    return site.is_registered(model) and site.get_model_admin(model).has_view_or_change_permission(request)


def _url(page: str) -> str:
    from common.admin.site import reverse_admin

    return reverse(page) if ":" in page else reverse_admin(f"{page}_changelist")


def _mark(request: Any) -> str:
    return static("shared/mark.svg")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Fabra",
    "SITE_HEADER": "Fabra",
    "SITE_SUBHEADER": "Support chatbot and its context",
    "SITE_URL": lambda request: reverse("chat:chat-page"),
    "SITE_ICON": _mark,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _mark}],
    "COLORS": {"primary": _ACCENT},
    "SHOW_HISTORY": True,
    "SIDEBAR": {
        "show_search": True,
        "navigation": navigation,
    },
    "STYLES": [lambda request: static("shared/markdown.css"), lambda request: static("admin/fabra.css")],
}

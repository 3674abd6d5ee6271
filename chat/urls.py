from typing import Any

from django.contrib.auth.views import LogoutView
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from chat.api import (
    chat,
    conversations,
    desk,
    documents,
    events,
    feedback,
    handover,
    health,
    passages,
    resources,
    traces,
    webhooks,
)
from chat.api.auth import ApiKeyAuthentication, MayReadSchema, SessionAuthentication
from chat.api.bulk.view import BulkView
from chat.api.openapi import schema_settings
from chat.bots import views as bots
from chat.embed import sessions
from chat.embed import views as embed
from chat.openai_api import views as openai
from chat.page import views
from chat.serving import error_pages
from chat.serving.own_views import open_to_everyone, with_own_transactions
from common.admin.site import site

_OWN_RULES: dict[str, Any] = {
    "permission_classes": [MayReadSchema],
    "authentication_classes": [ApiKeyAuthentication, SessionAuthentication],
    "throttle_classes": [],
    "versioning_class": None,
    "schema": None,  # they are no part of it
}
schema = SpectacularAPIView.as_view(**_OWN_RULES, custom_settings=schema_settings())
# Its script is a file of its own, since the content security policy allows none in the page.
docs = SpectacularSwaggerSplitView.as_view(**_OWN_RULES, url_name="chat:schema")

pages = [
    path("", views.ChatPage.as_view(), name="chat-page"),
    path("b/<slug:slug>/", views.ChatPage.as_view(), name="bot-page"),
    path("b/<slug:slug>/logo", bots.logo, name="bot-logo"),
    path("widget.js", embed.widget_script, name="widget-script"),
    path("embed", embed.embedded_page, name="embedded-page"),
    path("embed/session", sessions.SessionView.as_view(), name="embedded-session"),
    path("login/", views.SignIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(next_page="chat:login"), name="logout"),
    path("chat", chat.ChatView.as_view(), name="chat"),
    path("chat/<int:conversation_id>/stop", conversations.StopView.as_view(), name="stop-answer"),
    path("debug/context/<str:user_id>", chat.DebugContextView.as_view(), name="debug-context"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("api/conversations/<int:conversation_id>/escalate/", handover.EscalateView.as_view(), name="escalate"),
    path("api/conversations/<int:conversation_id>/contact/", handover.ContactView.as_view(), name="contact"),
    path("api/conversations/<int:conversation_id>/withdraw/", handover.WithdrawView.as_view(), name="withdraw"),
    path("api/conversations/<int:conversation_id>/assign/", desk.AssignView.as_view(), name="desk-assign"),
    path("api/conversations/<int:conversation_id>/reply/", desk.ReplyView.as_view(), name="desk-reply"),
    path("api/conversations/<int:conversation_id>/hand_back/", desk.HandBackView.as_view(), name="desk-hand-back"),
    path("api/conversations/<int:conversation_id>/close/", desk.CloseView.as_view(), name="desk-close"),
    path("api/conversations/<int:conversation_id>/transfer/", desk.TransferView.as_view(), name="desk-transfer"),
    path("api/conversations/", conversations.ConversationsView.as_view(), name="conversations"),
    path("api/conversations/<int:conversation_id>/", conversations.ConversationView.as_view(), name="conversation"),
    path("api/conversations/<int:conversation_id>/messages/", conversations.MessagesView.as_view(), name="messages"),
    path("api/conversations/<int:conversation_id>/export/", conversations.ExportView.as_view(), name="export"),
    path("api/messages/<int:message_id>/passages/", passages.PassagesView.as_view(), name="passages"),
    path("api/traces/", traces.TracesView.as_view(), name="traces"),
    path("api/traces/<uuid:context_id>/", traces.TraceView.as_view(), name="trace"),
    path("api/documents/", documents.DocumentsView.as_view(), name="documents"),
    path("api/documents/bulk/", BulkView.as_view(), name="documents-bulk"),
    path("api/documents/<path:entity_id>/", documents.DocumentView.as_view(), name="document"),
    path("api/events/", events.EventsView.as_view(), name="events"),
    path("api/events/<str:event_id>/", events.EventView.as_view(), name="event"),
    path("webhooks/<str:source>/", webhooks.WebhookView.as_view(), name="webhook"),
    path("api/messages/<int:message_id>/feedback/", feedback.FeedbackView.as_view(), name="feedback"),
    path("api/search/", resources.SearchView.as_view(), name="search"),
    path("api/features/<str:entity>/<str:entity_id>/", resources.FeaturesView.as_view(), name="features"),
    path("api/feature-sets/<str:name>/<str:entity_id>/", resources.FeatureSetView.as_view(), name="feature-set"),
    path("v1/models", openai.ModelsView.as_view(), name="models"),
    path("v1/models/<path:model_id>", openai.ModelView.as_view(), name="model"),
    path("v1/chat/completions", openai.CompletionsView.as_view(), name="completions"),
    re_path(r"^v1(/.*)?$", openai.unknown),
    path("api/schema/", schema, name="schema"),
    path("api/docs/", docs, name="docs"),
    # In a project that the bot is a part of, `handler404` is the project's. Without a slash Django adds one first.
    re_path(r"^api/(?:.*/)?$", error_pages.not_found),
]

urlpatterns = [
    path("admin/retrieval/", include("retrieval.urls")),
    path("admin/storage/", include("common.urls")),
    path("admin/inbox/", include("chat.inbox.urls")),
    path("admin/spending/", include("chat.admin.urls")),
    path("admin/", site.urls),
    path("", include((open_to_everyone(with_own_transactions(pages)), "chat"))),
]
"""The admin's namespaces are those of the whole site, as Django's admin expects; the pages have one of their own."""

"""The texts of the chat page's scripts, in the reader's language: the page has them as JSON.

A text with a number has the endings `_one` and `_other`, and the scripts choose by the language's rules (`texts.js`).
"""

from django.utils.translation import gettext as _


def page_texts() -> dict[str, str]:
    """Return every text that a script of the page shows, by its name; `{name}` stands for what the script puts in."""
    return {**_conversation(), **_answer(), **_sources(), **_trace(), **_person(), **_list(), **_errors()}


def _conversation() -> dict[str, str]:
    return {
        "answer": _("Answer"),
        "you_asked": _("You asked"),
        "waiting": _("Waiting for the connection. Your question is kept."),
        "reading": _("Reading the articles"),
        "stopped": _("Stopped."),
        "stopped_early": _("Stopped before the end."),
        "unanswered": _("This question got no answer."),
        "left_early": _("The page was left before the answer was complete."),
        "too_late": _("The answer did not come in time."),
        "lost_early": _("The connection was lost before the answer was complete."),
        "lost": _("Connection lost."),
        "connecting": _("Connecting again."),
        "next_try": _("Next try in {count} seconds."),
        "try_now": _("Try now"),
        "back": _("Connected again."),
        "signed_out": _("You are no longer signed in."),
        "rights_changed": _("What you may do here has changed."),
        "reload": _("Load the page again"),
        "earlier": _("Show earlier messages"),
        "new_below": _("New"),
        "characters": _("{count} of {max} characters"),
        "page_title": _("Support chat"),
        "gone": _("This conversation is not there any more."),
        "unavailable": _("The chat is not available at the moment."),
        "not_loaded": _("The conversation could not be loaded."),
    }


def _answer() -> dict[str, str]:
    return {
        "retry": _("Try again"),
        "edit": _("Edit the question"),
        "copy": _("Copy"),
        "copied": _("Copied"),
        "not_copied": _("Not allowed here"),
        "why": _("What the model saw"),
        "details": _("Details"),
        "good": _("Good answer"),
        "bad": _("Bad answer"),
        "comment": _("What was good or wrong? (optional)"),
        "send_comment": _("Send"),
        "thanks": _("Thank you for telling us."),
        "not_kept": _("That could not be kept. Try again."),
        "no_model": _("No language model is configured: quoted from the documents"),
        "model_unavailable": _("The language model does not answer now: quoted from the documents"),
        "budget_exhausted": _("The budget for the language model is used up: quoted from the documents"),
        "tokens": _("{count} of {max} tokens"),
        "left": _("{count} of {max} messages left"),
        "cut_off": _("cut off at the longest answer"),
        "filtered": _("ended by the model's filter"),
        "degraded": _("not everything was available ({what})"),
        "limit_one": _("The limit of one message is reached."),
        "limit_other": _("The limit of {count} messages is reached."),
        "possible_at": _("The next one is possible at {time}, {wait}."),
        "possible_now": _("The next message is possible now."),
        "in_seconds_one": _("in a second"),
        "in_seconds_other": _("in {count} seconds"),
        "in_minutes_one": _("in a minute"),
        "in_minutes_other": _("in {count} minutes"),
        "table": _("Table"),
        "code": _("Code"),
    }


def _sources() -> dict[str, str]:
    return {
        "sources": _("Sources"),
        "passages_read": _("Passages read"),
        "source": _("Source {number}: {title}"),
        "more_read_one": _("one more read, not cited"),
        "more_read_other": _("{count} more read, not cited"),
        "more_one": _("one more"),
        "more_other": _("{count} more"),
        "score": _("Score"),
        "score_of": _("How well the passage fits: {score}"),
        "not_supported": _("Not supported by the sources"),
        "partly_supported": _("Only partly supported by the sources"),
        "because": _("{verdict}: {reasons}"),
        "reason_number": _("the number {what}"),
        "reason_unit": _("the unit {what}"),
        "reason_name": _("the name {what}"),
        "reason_code": _("the code {what}"),
        "reason_negation": _("the word “{what}”"),
        "reason_words": _("its words"),
        "unsupported_one": _("One underlined sentence is not supported by the sources."),
        "unsupported_other": _("{count} underlined sentences are not supported by the sources."),
        "citation_dropped": _("A source that supports nothing was left out."),
        "in_admin": _("Open in the admin"),
    }


def _trace() -> dict[str, str]:
    return {
        "trace_title": _("What the model saw"),
        "trace_loading": _("Loading"),
        "close": _("Close"),
        "searched_for": _("Searched for"),
        "ranked_with": _("ranked together with earlier questions"),
        "rewritten_as": _("also searched for in a model's words"),
        "found_one": _("one passage found"),
        "found_other": _("{count} passages found"),
        "budget": _("Budget"),
        "budget_used": _("{count} of {max} tokens used"),
        "dropped_tokens": _("{count} tokens dropped"),
        "kept_items": _("Kept"),
        "dropped_items": _("Dropped"),
        "priority": _("priority {priority}"),
        "always_kept": _("required"),
        "dropped_over_budget": _("over the budget; the least important went first"),
        "dropped_too_large": _("too large for the budget"),
        "item_tokens": _("{count} tokens"),
        "instructions": _("Instructions and facts"),
        "earlier_turn": _("Earlier in the conversation"),
        "whole_trace": _("The whole trace"),
    }


def _person() -> dict[str, str]:
    return {
        "ask_person": _("Talk to a person"),
        "want_person": _("I would like to talk to a person."),
        "person_waiting": _("A person was asked to join."),
        "person_here": _("{name} is answering."),
        "person_away": _("{name} is away at the moment."),
        "somebody": _("A person"),
        "person_typing": _("{name} is typing"),
        "conversation_closed": _("This conversation is closed. A new message begins a new one."),
        "unread_title": _("({count}) {title}"),
        "unread_one": _("One new message"),
        "unread_other": _("{count} new messages"),
    }


def _list() -> dict[str, str]:
    return {
        "untitled": _("Conversation"),
        "none_yet": _("Your conversations will be listed here."),
        "none_found": _("No conversation has these words."),
        "list_failed": _("Your conversations could not be loaded."),
        "show_more": _("Show more"),
        "actions_for": _("Actions for {title}"),
        "rename": _("Rename"),
        "new_title": _("New title"),
        "save": _("Save"),
        "cancel": _("Cancel"),
        "export_markdown": _("Export as Markdown"),
        "export_json": _("Export as JSON"),
        "delete": _("Delete"),
        "delete_this": _("Delete this conversation?"),
        "delete_what": _(
            "Its messages go, and what was kept about its answers. A question that the team has taken over to test or "
            "improve answers stays. This cannot be undone."
        ),
        "deleted": _("The conversation was deleted."),
        "renamed": _("The conversation was renamed."),
        "unread": _("unread"),
    }


def _errors() -> dict[str, str]:
    """Return the sentences of errors, by their codes; the server's own, in English, are for other clients."""
    return {f"error_{code}": text for codes, text in _sentences_of_errors().items() for code in codes.split()}


def _sentences_of_errors() -> dict[str, str]:
    """Return a sentence for each group of codes."""
    return {
        "budget_exhausted": _("No more questions can be answered for now. Try again tomorrow."),
        "model_failed": _("The language model failed. Try again."),
        "model_refused": _("The language model's server refused the request. Try again later."),
        "model_unreachable": _("The language model cannot be reached. Try again shortly."),
        "model_timeout": _("The language model did not answer in time. Try again."),
        "deadline_exceeded": _("The answer took too long. Try again."),
        "message_too_long payload_too_large request_too_large": _("The message is too long."),
        "invalid_message": _("The message was not accepted."),
        "still_answering": _("A question is being answered. Try again after it."),
        "rate_limited": _("That was too much at once. Try again in a while."),
        "database_unavailable": _("The database does not answer. Try again shortly."),
        "trace_not_written": _("The answer could not be recorded, so it was not given. Try again shortly."),
        "internal_error error": _("Something went wrong on our side. It was recorded."),
        (
            "assembly_failed budget_exceeded context_disabled embedder_answer_invalid embedder_mismatch"
            " embedder_unavailable feature_failed freshness_violation generation_conflict index_not_found"
            " invalid_feature_value online_store_unavailable reranker_unavailable text_refused"
        ): _("This cannot be answered at the moment. Try again later."),
        "bot_not_found": _("The chat is not available at the moment."),
        "handover_off": _("No person can join this conversation."),
        "conversation_state": _("This is not possible in the conversation any more."),
        "network unavailable request_timeout": _("The server cannot be reached. Try again."),
        "not_found conversation_not_found": _("This is not there any more."),
        (
            "address_forbidden bot_forbidden context_forbidden index_forbidden invalid_api_key key_forbidden"
            " not_authenticated origin_forbidden permission_denied scope_missing session_ended user_forbidden"
            " user_token_expired user_token_invalid user_token_missing"
        ): _("You may not do this, or are no longer signed in. Load the page again."),
        "invalid_cursor invalid_input invalid_request other": _("That did not work. Try again."),
    }

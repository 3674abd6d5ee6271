"""The language models that an operator configured in the admin."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from common.outgoing import Refused, origin_of

ENVIRONMENT = "environment"
"""The name of the provider that OPENAI_API_KEY configures."""

KEY_VARIABLE = r"\A[A-Z][A-Z0-9_]*_API_KEY\Z"
"""The environment variables that a row may name; any other one may hold a secret that is for no model's server."""

SET_BY_BOT = frozenset({"model", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens"})
"""Parameters of a call that no row sets: budgets and windows count on them."""

_price = {
    "max_digits": 12,
    "decimal_places": 6,
    "null": True,
    "blank": True,
    "validators": [MinValueValidator(0)],
}


class ModelProvider(models.Model):
    """A language model on a server with OpenAI's API; its key stands in an environment variable, never here."""

    name = models.SlugField(max_length=50, unique=True, help_text="What traces and costs call it.")
    position = models.SmallIntegerField(
        default=10,
        help_text="The lowest is asked first, the next if it fails. The model of OPENAI_API_KEY has the position 0.",
    )
    is_enabled = models.BooleanField("enabled", default=True)
    base_url = models.CharField("base URL", max_length=500, help_text="Such as https://api.openai.com/v1.")
    model = models.CharField(max_length=200, help_text="The model's name on that server.")
    key_variable = models.CharField(
        "variable of the key",
        max_length=100,
        blank=True,
        validators=[RegexValidator(KEY_VARIABLE, message="The name of a variable that ends with _API_KEY.")],
        help_text="The environment variable that holds the key, such as ANTHROPIC_API_KEY; with _FILE behind it, a file"
        " that does. Empty: the server needs no key.",
    )
    connect_timeout_s = models.FloatField(
        "time to connect",
        default=5.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(60)],
        help_text="Seconds to connect.",
    )
    timeout_s = models.FloatField(
        "time for an answer",
        null=True,
        blank=True,
        validators=[MinValueValidator(0.1), MaxValueValidator(3600)],
        help_text="Seconds to the first piece of an answer, and between two. Empty: FABRA_MODEL_TIMEOUT.",
    )
    retries = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MaxValueValidator(10)], help_text="Empty: FABRA_MODEL_RETRIES."
    )
    window = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="The tokens that it takes and gives in one call. Empty: FABRA_MODEL_WINDOW.",
    )
    max_tokens = models.PositiveIntegerField(
        "longest answer",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="The most tokens that it writes in one call, thinking included. Empty: FABRA_MODEL_MAX_TOKENS.",
    )
    input_price_usd = models.DecimalField(
        "input price", help_text="US dollars for a million tokens. Empty: the price that is known of the model.",
        **_price,  # type: ignore[arg-type]
    )  # fmt: skip
    output_price_usd = models.DecimalField("output price", help_text="The same, for what it writes.", **_price)  # type: ignore[arg-type]
    can_stream = models.BooleanField(
        "streams", default=True, help_text="Off: it is asked for whole answers, and an answer is shown once complete."
    )
    takes_system = models.BooleanField(
        "takes instructions as the system's",
        default=True,
        help_text="Off: the instructions stand at the beginning of the first message, as some templates require.",
    )
    begins_with_thinking = models.BooleanField(
        default=False,
        help_text="On: its answers begin with its thoughts, up to </think>, without a mark before them; they are not"
        " shown, and a stream begins behind them. `manage.py models check` finds it out.",
    )
    parameters = models.JSONField(
        default=dict, blank=True, help_text='What each request has besides, such as {"reasoning_effort": "low"}.'
    )

    class Meta:
        ordering = ("position", "id")
        verbose_name = "language model"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.name == ENVIRONMENT:
            raise ValidationError({"name": "That is the model of OPENAI_API_KEY."})
        try:
            origin_of(self.base_url)
        except Refused as error:
            raise ValidationError({"base_url": f"This is {error}."}) from None
        if any(sign in self.base_url for sign in "@?#"):
            raise ValidationError({"base_url": "No key, query or fragment belongs here."})
        if (self.input_price_usd is None) != (self.output_price_usd is None):
            raise ValidationError({"output_price_usd": "Give both prices, or neither."})
        if not isinstance(self.parameters, dict):
            raise ValidationError({"parameters": "An object is needed, with the name and the value of each."})
        if taken := SET_BY_BOT & set(self.parameters):
            raise ValidationError({"parameters": f"{', '.join(sorted(taken))}: the bot sets this itself."})

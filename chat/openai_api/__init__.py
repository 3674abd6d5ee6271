"""The API of OpenAI, so that its SDKs and every program that speaks it talk to the bot: `/v1/models` and
`/v1/chat/completions`."""

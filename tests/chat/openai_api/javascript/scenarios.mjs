// What the official SDK gets from the server at BASE_URL, as JSON on the standard output.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0 });
const stranger = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "fabra_sec_unknown", maxRetries: 0 });
const QUESTION = { role: "user", content: "How do I reset my password?" };

const ask = (messages, more = {}) =>
  client.chat.completions.create({ model: "default", user: "jana", messages, ...more });

async function failure(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code, param: error.param };
  }
}

const models = [];
for await (const model of client.models.list()) models.push(model.id);

const whole = await ask([QUESTION], { temperature: 0.3 });
const answer = whole.choices[0].message;

const pieces = [];
const followUp = [QUESTION, answer, { role: "user", content: "And on the phone?" }];
for await (const piece of await ask(followUp, { stream: true, stream_options: { include_usage: true } })) {
  pieces.push(piece);
}

const runner = client.chat.completions.stream({ model: "default", user: "jana", messages: [QUESTION] });
let heard = "";
runner.on("content", (text) => (heard += text));
const final = await runner.finalChatCompletion();

const errors = {
  model: await failure(() => client.models.retrieve("gpt-4o")),
  parameter: await failure(() => ask([QUESTION], { n: 2 })),
  key: await failure(() => stranger.models.list()),
  address: await failure(() => client.embeddings.create({ model: "default", input: "a" })),
};

const shown = { models, whole, pieces, heard, final, errors, model: await client.models.retrieve("chat_context") };
console.log(JSON.stringify(shown));

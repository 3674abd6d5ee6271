"""Three features online, against a raw HMGET of the same fields through the same client."""

from bench.figures import Goal, Row, interleaved
from common.redis import async_redis, redis_key

NAMES = ["user_tier", "support_history", "message_count"]
USER = "user_123"


async def measure(*, is_quick: bool) -> list[Row]:
    from chat.definitions import User, store

    await store.set_feature("message_count", USER, 7)
    await store.get_online_features(User, USER, NAMES)  # computes the other two
    client, key = await async_redis(), redis_key("values", "User", USER)
    assert all(await client.hmget(key, NAMES)), "the floor must read what we read"

    async def ours(number: int) -> None:
        await store.get_online_features(User, USER, NAMES)

    async def floor(number: int) -> None:
        await client.hmget(key, NAMES)

    await interleaved(ours, floor, rounds=200)
    times, floor_times = await interleaved(ours, floor, rounds=1000 if is_quick else 4000)
    return [Row(what="features: three online", ours=times, floor=floor_times, goal=Goal(ratio=1.6))]

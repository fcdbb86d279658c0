// Of several operations exactly one is done, and the others leave no trace, whatever they wait for and however closely
// they finish together.

#include <cove/runtime/select.hpp>

#include <cove/net/tcp.hpp>
#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/barrier.hpp>
#include <cove/runtime/broadcast.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/channel.hpp>
#include <cove/runtime/condition.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/event.hpp>
#include <cove/runtime/interval.hpp>
#include <cove/runtime/mutex.hpp>
#include <cove/runtime/semaphore.hpp>
#include <cove/runtime/signals.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/net.hpp>
#include <support/test_kernel.hpp>

#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

using namespace std::chrono_literals;

namespace {

using numbers = std::vector<int>;

template <class Operation>
constexpr bool selectable = cove::detail::selectable<Operation>;

cove::task<> takes_one(cove::channel<int>& from, numbers& into) {
    const auto item = co_await from.receive();
    into.push_back(item.value_or(-1));
}

// Waits at two channels; which and what it got go into the log, as 100 * which + what.
cove::task<> takes_of_two(cove::channel<int>& first, cove::channel<int>& second, numbers& log) {
    const auto got = co_await cove::select(first.receive(), second.receive());
    const auto& item = got.index() == 0 ? std::get<0>(got) : std::get<1>(got);
    log.push_back(static_cast<int>(got.index()) * 100 + item.value_or(-1));
}

cove::task<> cancel_after(cove::duration length, cove::cancel_scope& scope) {
    co_await cove::sleep_for(length);
    scope.cancel();
}

}  // namespace

// What cannot be taken back once it has begun is refused.
static_assert(selectable<decltype(cove::sleep_for(1s))>);
static_assert(selectable<decltype(std::declval<cove::channel<int>&>().receive())>);
static_assert(selectable<decltype(std::declval<cove::tcp_stream&>().read(std::span<char>()))>);
static_assert(selectable<decltype(std::declval<cove::tcp_stream&>().receive())>);
static_assert(selectable<decltype(std::declval<cove::tcp_stream&>().write_some({}))>);
static_assert(!selectable<cove::task<int>>);
static_assert(!selectable<decltype(std::declval<cove::channel<int>&>().send(1))>);
static_assert(!selectable<decltype(std::declval<cove::condition&>().wait(std::declval<cove::mutex::guard&>()))>);
static_assert(!selectable<decltype(std::declval<cove::barrier&>().arrive_and_wait())>);
static_assert(!selectable<decltype(std::declval<cove::tcp_stream&>().write("all"))>);
static_assert(!selectable<decltype(std::declval<cove::tcp_stream&>().read_exactly(std::span<char>()))>);

TEST_CASE("select gives the result of the first that can be done, and its index") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items(1);
        CHECK(items.try_send(5));
        const auto got = co_await cove::select(cove::sleep_for(1h), items.receive());
        static_assert(std::is_same_v<decltype(got), const std::variant<std::monostate, std::optional<int>>>);
        REQUIRE(got.index() == 1);
        CHECK(std::get<1>(got) == 5);
        const cove::time_point start = cove::now();
        const auto slept = co_await cove::select(items.receive(), cove::sleep_for(1min), cove::sleep_for(2h));
        CHECK(slept.index() == 1);
        CHECK(cove::now() - start >= 1min);
        CHECK(cove::now() - start < 1h);
        const auto alone = co_await cove::select(cove::sleep_for(1min));
        CHECK(alone.index() == 0);
        co_await cove::sleep_for(24h);  // nothing of those that lost is left to fire
    };
    test::run(body());
}

TEST_CASE("where several can be done at once the first in the list is, and the others keep what they had") {
    auto body = []() -> cove::task<> {
        cove::channel<int> urgent(2);
        cove::channel<int> other(2);
        CHECK(urgent.try_send(1));
        CHECK(urgent.try_send(2));
        CHECK(other.try_send(3));
        numbers log;
        for (int i = 0; i < 3; ++i) co_await takes_of_two(urgent, other, log);
        CHECK(log == numbers{1, 2, 103});
        CHECK(urgent.size() + other.size() == 0);
    };
    test::run(body());
}

TEST_CASE("one that finishes at once in the middle ends those before it, and those behind it never begin") {
    auto body = []() -> cove::task<> {
        cove::channel<int> before(1);
        cove::channel<int> now(1);
        cove::channel<int> behind(1);
        CHECK(now.try_send(1));
        CHECK(behind.try_send(2));
        const auto got = co_await cove::select(before.receive(), cove::sleep_for(1s), now.receive(), behind.receive());
        CHECK(got.index() == 2);
        CHECK(behind.size() == 1);
        // Nobody stands in front of the first channel any more.
        CHECK(before.try_send(3));
        CHECK(before.try_receive() == 3);
        co_await cove::sleep_for(1h);
    };
    test::run(body());
}

TEST_CASE(
    "of two that become possible in one turn one is done; what the other was called for goes to the next in line") {
    auto body = []() -> cove::task<> {
        for (const std::size_t capacity : {0U, 1U}) {
            CAPTURE(capacity);
            cove::channel<int> first(capacity);
            cove::channel<int> second(capacity);
            numbers log;
            numbers next_in_line;
            cove::task_group group;
            group.spawn(takes_of_two(first, second, log));
            group.spawn(takes_one(first, next_in_line));
            co_await cove::yield();
            auto sends = [](cove::channel<int>& to, int item) -> cove::task<> { co_await to.send(item); };
            cove::task_group senders;
            senders.spawn(sends(second, 2));
            senders.spawn(sends(first, 1));
            co_await senders.join();
            co_await group.join();
            CHECK(log == numbers{102});
            CHECK(next_in_line == numbers{1});
        }
    };
    test::run(body());
}

TEST_CASE(
    "a canceled select has done nothing, canceled before it, while it waits, or in the turn of what it waits for") {
    auto body = []() -> cove::task<> {
        cove::channel<int> first(1);
        cove::channel<int> second(1);
        numbers log;
        CHECK(first.try_send(1));
        cove::cancel_scope before;
        before.cancel();
        CHECK_FALSE(co_await before.run(takes_of_two(first, second, log)));
        CHECK(first.try_receive() == 1);

        cove::cancel_scope waiting;
        cove::task_group group;
        group.spawn(cancel_after(1s, waiting));
        CHECK_FALSE(co_await waiting.run(takes_of_two(first, second, log)));
        CHECK(first.try_send(2));
        CHECK(first.try_receive() == 2);

        cove::cancel_scope same_turn;
        auto sends_and_cancels = [&]() -> cove::task<> {
            co_await cove::sleep_for(1s);
            CHECK(second.try_send(3));
            CHECK(first.try_send(4));
            same_turn.cancel();
        };
        group.spawn(sends_and_cancels);
        CHECK_FALSE(co_await same_turn.run(takes_of_two(first, second, log)));
        CHECK(log.empty());
        CHECK(first.try_receive() == 4);
        CHECK(second.try_receive() == 3);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("what has ended before the cancellation of the same turn is delivered") {
    auto body = []() -> cove::task<> {
        cove::event happened;
        cove::cancel_scope scope;
        auto sets_and_cancels = [&]() -> cove::task<> {
            co_await cove::sleep_for(1s);
            happened.set();
            scope.cancel();
        };
        cove::task_group group;
        group.spawn(sets_and_cancels);
        const auto got = co_await scope.run(cove::select(happened.wait(), cove::sleep_for(1h)));
        REQUIRE(got);
        CHECK(got->index() == 0);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a lock, a permit and a wake-up that reached one that loses are passed on") {
    auto body = []() -> cove::task<> {
        cove::mutex lock;
        cove::semaphore permits(0);
        cove::wait_queue queue;
        cove::event happened;
        std::vector<std::size_t> won;
        numbers next_in_line;
        auto selects = [&]() -> cove::task<> {
            const auto got = co_await cove::select(lock.lock(), permits.acquire(), queue.wait(), happened.wait());
            won.push_back(got.index());
        };
        auto locks = [&]() -> cove::task<> {
            const auto held = co_await lock.lock();
            next_in_line.push_back(0);
        };
        auto acquires = [&]() -> cove::task<> {
            const auto permit = co_await permits.acquire();
            next_in_line.push_back(1);
        };
        auto is_woken = [&]() -> cove::task<> {
            co_await queue.wait();
            next_in_line.push_back(2);
        };
        auto held = co_await lock.lock();
        cove::task_group group;
        group.spawn(selects);
        group.spawn(locks);
        group.spawn(acquires);
        group.spawn(is_woken);
        co_await cove::yield();
        happened.set();
        held.release();
        permits.release();
        CHECK(queue.wake_one());
        co_await group.join();
        CHECK(won == std::vector<std::size_t>{3});
        std::sort(next_in_line.begin(), next_in_line.end());
        CHECK(next_in_line == numbers{0, 1, 2});
        CHECK(permits.available() == 1);
        CHECK(lock.try_lock());
    };
    test::run(body());
}

TEST_CASE("a tick that loses is still to come, and a message of a broadcast still to be received") {
    auto body = []() -> cove::task<> {
        cove::interval ticks(1h);
        cove::broadcast<int> news(4);
        cove::broadcast<int>::subscription reader(news);
        const cove::time_point due = ticks.next_tick();
        CHECK((co_await cove::select(ticks.next(), reader.receive(), cove::sleep_for(1min))).index() == 2);
        CHECK(ticks.next_tick() == due);
        news.send(1);
        cove::event happened(true);
        CHECK((co_await cove::select(happened.wait(), reader.receive())).index() == 0);
        CHECK(reader.pending() == 1);
        CHECK((co_await cove::select(ticks.next(), cove::sleep_for(2h))).index() == 0);
        CHECK(cove::now() >= due);
        CHECK(ticks.next_tick() == due + 1h);
    };
    test::run(body());
}

TEST_CASE("of two sockets the one that has something is read, and the bytes of the other stay in it") {
    auto body = []() -> cove::task<> {
        auto left = co_await test::narrow_pair();
        auto right = co_await test::narrow_pair();
        char from_left[16] = {};
        char from_right[16] = {};
        auto writes_both = [&]() -> cove::task<> {
            co_await cove::sleep_for(1s);
            co_await right.left.write("right");
            co_await left.left.write("left");
        };
        cove::task_group group;
        group.spawn(writes_both);
        const auto first = co_await cove::select(left.right.read(from_left), right.right.read(from_right));
        co_await group.join();
        // Which one the kernel names first is its own affair.
        const bool was_left = first.index() == 0;
        CHECK(std::string(from_left) == (was_left ? "left" : ""));
        CHECK(std::string(from_right) == (was_left ? "" : "right"));
        const auto second = co_await cove::select(left.right.read(from_left), right.right.read(from_right));
        CHECK(second.index() == (was_left ? 1 : 0));
        CHECK(std::string(from_left) == "left");
        CHECK(std::string(from_right) == "right");
        // Neither side is taken for busy afterwards.
        CHECK((co_await cove::select(left.right.read(from_left), cove::sleep_for(1s))).index() == 1);
        left.left.close();
        const auto end = co_await cove::select(cove::sleep_for(1h), left.right.read(from_left));
        REQUIRE(end.index() == 1);
        CHECK(std::get<1>(end) == 0);
    };
    test::run_on_linux(body());
}

TEST_CASE("an operation that has nothing to do is done at once, as it is without select") {
    auto body = []() -> cove::task<> {
        auto pair = co_await test::narrow_pair();
        const auto got = co_await cove::select(cove::sleep_for(1h), pair.left.read(std::span<char>()));
        CHECK(got.index() == 1);
    };
    test::run_on_linux(body());
}

TEST_CASE("select throws what the one throws that is done first, and the others are withdrawn") {
    auto body = []() -> cove::task<> {
        auto pair = co_await test::narrow_pair();
        cove::channel<int> items(1);
        char bytes[16];
        auto closes = [&]() -> cove::task<> {
            co_await cove::sleep_for(1s);
            pair.left.close();
        };
        cove::task_group group;
        group.spawn(closes);
        std::error_code code;
        try {
            co_await cove::select(items.receive(), pair.left.read(bytes), cove::sleep_for(1h));
        } catch (const std::system_error& error) {
            code = error.code();
        }
        CHECK(code == cove::errc::closed);
        CHECK(items.try_send(1));
        CHECK(items.try_receive() == 1);
        CHECK_THROWS_AS(co_await cove::select(items.receive(), pair.left.read(bytes)), std::system_error);
        co_await group.join();
    };
    test::run_on_linux(body());
}

TEST_CASE("a signal that loses stays to be taken") {
    auto body = []() -> cove::task<> {
        cove::signal_set signals{SIGUSR1};
        cove::event happened;
        CHECK((co_await cove::select(signals.next(), cove::sleep_for(1s))).index() == 1);
        CHECK(::kill(::getpid(), SIGUSR1) == 0);
        happened.set();
        CHECK((co_await cove::select(happened.wait(), signals.next())).index() == 0);
        const auto got = co_await cove::select(cove::sleep_for(1h), signals.next());
        REQUIRE(got.index() == 1);
        CHECK(std::get<1>(got) == SIGUSR1);
        CHECK((co_await cove::select(signals.next(), cove::sleep_for(1s))).index() == 1);
    };
    test::run_on_linux(body());
}

TEST_CASE("a frame that is destroyed in a select leaves everything it stood in") {
    auto body = []() -> cove::task<> {
        cove::channel<int> first(1);
        cove::channel<int> second(1);
        numbers log;
        numbers next_in_line;
        cove::task_group others;
        {
            cove::task_group group;
            group.spawn(takes_of_two(first, second, log));
            group.spawn(takes_of_two(first, second, log));
            co_await cove::yield();
            others.spawn(takes_one(second, next_in_line));
            co_await cove::yield();
            CHECK(second.try_send(1));  // the first of them has been called
        }
        co_await others.join();
        CHECK(next_in_line == numbers{1});
        CHECK(log.empty());
        CHECK(first.try_send(2));
        CHECK(first.try_receive() == 2);
    };
    test::run(body());
}

TEST_CASE("select takes limits in time, and can be limited in time") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items(1);
        CHECK_THROWS_AS(co_await cove::timeout(1s, cove::select(items.receive(), cove::sleep_for(1h))),
                        cove::timed_out);
        auto moved = co_await cove::move_on_after(1h, cove::select(items.receive(), cove::sleep_for(1s)));
        REQUIRE(moved);
        CHECK(moved->index() == 1);
        CHECK(items.try_send(1));
        CHECK(items.try_receive() == 1);
    };
    test::run(body());
}

TEST_CASE("results that can only be moved pass through select") {
    auto body = []() -> cove::task<> {
        cove::channel<std::unique_ptr<int>> items(1);
        CHECK(items.try_send(std::make_unique<int>(5)));
        auto got = co_await cove::select(cove::sleep_for(1h), items.receive());
        REQUIRE(got.index() == 1);
        REQUIRE(std::get<1>(got));
        CHECK(***std::get_if<1>(&got) == 5);
    };
    test::run(body());
}

TEST_CASE("who selects what is there already lets the others have their turn") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items(1);
        cove::channel<int> never(1);
        int others_turns = 0;
        bool done = false;
        auto other = [&]() -> cove::task<> {
            while (!done) {
                ++others_turns;
                co_await cove::yield();
            }
        };
        cove::task_group group;
        group.spawn(other);
        int wrong = 0;
        for (int i = 0; i < 1000; ++i) {
            CHECK(items.try_send(int(i)));
            const auto got = co_await cove::select(never.receive(), items.receive());
            if (got.index() != 1 || std::get<1>(got) != i) ++wrong;
        }
        done = true;
        CHECK(wrong == 0);
        CHECK(others_turns >= 20);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("waiting for several things allocates nothing") {
    auto body = []() -> cove::task<> {
        cove::channel<int> forth;
        cove::channel<int> back(1);
        cove::channel<int> never;
        auto echoes = [&]() -> cove::task<> {
            while (const auto item = co_await forth.receive()) co_await back.send(*item);
        };
        cove::task_group group;
        group.spawn(echoes);
        long before = 0;
        int wrong = 0;
        for (int i = 0; i < 1000; ++i) {
            if (i == 100) before = test::allocations();
            co_await forth.send(i);
            const auto got = co_await cove::select(never.receive(), cove::sleep_for(1h), back.receive());
            if (got.index() != 2) ++wrong;
        }
        if (test::counts_allocations) CHECK(test::allocations() == before);
        CHECK(wrong == 0);
        forth.close();
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a stack shows each of the operations that a select waits for") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items;
        cove::event happened;
        auto selects = [&]() -> cove::task<> {
            co_await cove::select(items.receive(), happened.wait(), cove::sleep_for(1h));
        };
        cove::task_group group;
        group.spawn(selects);
        co_await cove::yield();
        const std::string text = cove::async_stacks();
        CAPTURE(text);
        for (const char* part : {"channel: receive\n", "event\n", "sleep, 3"})
            CHECK(text.find(part) != std::string::npos);
        happened.set();
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("whoever selects, is canceled or gives up in time: each item is received once") {
    // A fixed sequence, so that a failure can be repeated.
    unsigned state = 1;
    auto random = [&state](unsigned below) {
        state = state * 1664525 + 1013904223;
        return (state >> 16) % below;
    };
    auto body = [&]() -> cove::task<> {
        for (int round = 0; round < 100; ++round) {
            cove::channel<int> first(random(2));
            cove::channel<int> second(random(3));
            numbers got;
            int sent = 0;
            cove::task_group receivers;
            std::vector<std::unique_ptr<cove::cancel_scope>> scopes;
            auto receives = [&](cove::cancel_scope& scope) -> cove::task<> {
                const cove::duration patience = std::chrono::milliseconds(random(20));
                const auto taken =
                    co_await scope.run(cove::select(first.receive(), cove::sleep_for(patience), second.receive()));
                if (!taken) co_return;
                if (taken->index() == 0) got.push_back(std::get<0>(*taken).value());
                if (taken->index() == 2) got.push_back(std::get<2>(*taken).value());
            };
            auto sends = [&](int count) -> cove::task<> {
                for (int i = 0; i < count; ++i) {
                    const int item = sent++;
                    co_await (random(2) == 0 ? first : second).send(item);
                    if (random(3) == 0) co_await cove::sleep_for(1ms);
                }
            };
            cove::task_group senders;
            for (int i = 0; i < 3; ++i) senders.spawn(sends(10));
            while (senders.size() > 0) {
                scopes.push_back(std::make_unique<cove::cancel_scope>());
                receivers.spawn(receives(*scopes.back()));
                if (random(4) == 0) scopes[random(static_cast<unsigned>(scopes.size()))]->cancel();
                if (random(3) == 0) co_await cove::sleep_for(1ms);
                co_await cove::yield();
            }
            co_await receivers.join();
            while (const auto item = first.try_receive()) got.push_back(*item);
            while (const auto item = second.try_receive()) got.push_back(*item);
            std::sort(got.begin(), got.end());
            REQUIRE(sent == 30);
            REQUIRE(got.size() == 30);
            for (int i = 0; i < 30; ++i) REQUIRE(got[static_cast<std::size_t>(i)] == i);
            co_await senders.join();
        }
    };
    test::run(body());
}

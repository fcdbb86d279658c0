// An event for loops and threads: every set() ends every wait that had begun, on whatever thread it waits.

#include <cove/runtime/remote_event.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/select.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/test_kernel.hpp>
#include <support/threads.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::task<> waits(cove::remote_event event, std::vector<int>& order, int name) {
    co_await event.wait();
    order.push_back(name);
}

// A loop reads its inbox when it has nothing else to do.
cove::task<> idle() { co_await cove::sleep_for(1s); }

}  // namespace

TEST_CASE("a flag that is set ends every wait at once, until it is reset") {
    auto body = []() -> cove::task<> {
        cove::remote_event event;
        const cove::remote_event copy = event;
        CHECK_FALSE(event.is_set());
        event.set();
        CHECK(copy.is_set());
        co_await event.wait();
        co_await event.wait();
        event.wait_blocking();
        event.reset();
        CHECK_FALSE(copy.is_set());
        CHECK_FALSE(co_await cove::move_on_after(1h, event.wait()));
    };
    test::run_on_linux(body());
}

TEST_CASE("set ends all waits of a loop in the order in which they began, and runs nobody itself") {
    auto body = []() -> cove::task<> {
        cove::remote_event event;
        std::vector<int> order;
        cove::task_group group;
        for (int name = 0; name < 5; ++name) group.spawn(waits(event, order, name));
        co_await idle();
        CHECK(order.empty());
        event.set();
        CHECK(order.empty());
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
    };
    test::run_on_linux(body());
}

TEST_CASE("a flag that is set and reset at once ends the waits that had begun, and no later one") {
    auto body = []() -> cove::task<> {
        cove::remote_event event;
        std::vector<int> order;
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(waits(event, order, name));
        co_await idle();
        event.set();
        event.reset();
        group.spawn(waits(event, order, 99));
        co_await idle();
        CHECK(order == std::vector<int>{0, 1, 2});
        CHECK(group.size() == 1);
        event.set();
        event.reset();
        event.set();
        event.reset();
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1, 2, 99});
    };
    test::run_on_linux(body());
}

TEST_CASE("an operation that is awaited again waits again") {
    auto body = []() -> cove::task<> {
        cove::remote_event event;
        auto operation = event.wait();
        event.set();
        co_await operation;
        event.reset();
        bool again = false;
        auto awaits = [&]() -> cove::task<> {
            co_await operation;
            again = true;
        };
        cove::task_group group;
        group.spawn(awaits());
        co_await idle();
        CHECK_FALSE(again);
        event.set();
        co_await group.join();
        CHECK(again);
    };
    test::run_on_linux(body());
}

TEST_CASE("an operation that was canceled can be awaited again") {
    auto body = []() -> cove::task<> {
        cove::remote_event event;
        auto operation = event.wait();
        auto awaits = [&]() -> cove::task<> { co_await operation; };
        CHECK_FALSE(co_await cove::move_on_after(1s, awaits()));
        event.set();
        co_await operation;
    };
    test::run_on_linux(body());
}

TEST_CASE("who is canceled goes on without the event, even if it is set before their turn comes") {
    auto body = []() -> cove::task<> {
        cove::remote_event event;
        std::vector<int> order;
        cove::task_group canceled;
        canceled.spawn(waits(event, order, 1));
        cove::task_group stays;
        stays.spawn(waits(event, order, 2));
        co_await idle();
        canceled.cancel();
        event.set();
        co_await canceled.join();
        co_await stays.join();
        CHECK(order == std::vector<int>{2});
        event.reset();
        cove::task_group late;
        late.spawn(waits(event, order, 3));
        co_await idle();
        event.set();
        late.cancel();
        co_await late.join();
        CHECK(order == std::vector<int>{2});
    };
    test::run_on_linux(body());
}

TEST_CASE("a frame that is destroyed while it waits, or between set and its turn, leaves the others as they were") {
    auto body = []() -> cove::task<> {
        cove::remote_event event;
        std::vector<int> order;
        cove::task_group stays;
        {
            cove::task_group group;
            for (int name = 0; name < 3; ++name) group.spawn(waits(event, order, name));
            stays.spawn(waits(event, order, 10));
            co_await idle();
        }
        {
            cove::task_group group;
            for (int name = 3; name < 6; ++name) group.spawn(waits(event, order, name));
            co_await idle();
            event.set();
        }
        co_await stays.join();
        CHECK(order == std::vector<int>{10});
    };
    test::run_on_linux(body());
}

TEST_CASE("a wait that ends at once does not keep others waiting for ever") {
    auto body = []() -> cove::task<> {
        cove::remote_event event;
        event.set();
        int waits_made = 0;
        bool had_turn = false;
        auto other = [&]() -> cove::task<> {
            had_turn = true;
            co_return;
        };
        cove::task_group group;
        group.spawn(other());
        while (!had_turn && waits_made < 1000) {
            co_await event.wait();
            ++waits_made;
        }
        CHECK(waits_made < 100);
        co_await group.join();
    };
    test::run_on_linux(body());
}

TEST_CASE("waiting allocates only for the first wait of a loop, which throws where there is no memory") {
    if (!test::counts_allocations) return;
    auto body = []() -> cove::task<> {
        cove::remote_event event;
        test::fail_allocation_after(0);
        CHECK_THROWS_AS(co_await event.wait(), std::bad_alloc);
        event.set();
        co_await event.wait();
        event.reset();
        co_await cove::move_on_after(1s, event.wait());
        const long before = test::allocations();
        for (int i = 0; i < 100; ++i) co_await cove::move_on_after(1s, event.wait());
        CHECK(test::allocations() == before);
    };
    test::run_on_linux(body());
}

TEST_CASE("select takes an event, and a stack names it") {
    auto body = []() -> cove::task<> {
        cove::remote_event first;
        cove::remote_event second;
        auto sets = [&]() -> cove::task<> {
            co_await cove::sleep_for(1s);
            const std::string text = cove::async_stacks();
            CAPTURE(text);
            CHECK(text.find("remote_event\n    at remote_event_test.cpp:") != std::string::npos);
            second.set();
        };
        cove::task_group group;
        group.spawn(sets());
        const auto won = co_await cove::select(first.wait(), second.wait());
        CHECK(won.index() == 1);
        const auto at_once = co_await cove::select(first.wait(), second.wait());
        CHECK(at_once.index() == 1);
        co_await group.join();
    };
    test::run_on_linux(body());
}

TEST_CASE("a thread that sets wakes loops and threads alike") {
    for (int round = 0; round < 300 / test::scale; ++round) {
        cove::remote_event event;
        std::atomic<int> woken{0};
        test::threads threads;
        for (int i = 0; i < 2; ++i) {
            threads.start_loop([event, &woken]() mutable -> cove::task<> {
                co_await event.wait();
                ++woken;
            });
            threads.start([event, &woken]() mutable {
                event.wait_blocking();
                ++woken;
            });
        }
        event.set();
        threads.join();
        CHECK(woken.load() == 4);
    }
}

TEST_CASE("set and reset at once wake all who wait on several loops, in every round") {
    static constexpr int rounds = 500 / test::scale;
    static constexpr int waiters = 2 * 3;
    cove::remote_event event;
    std::atomic<int> resets{0};
    std::atomic<int> begun{0};
    std::atomic<int> over{0};
    test::threads threads;
    for (int loop = 0; loop < 3; ++loop) {
        threads.start_loop([&, event]() mutable -> cove::task<> {
            auto waits_in_rounds = [&]() -> cove::task<> {
                for (int round = 0; round < rounds; ++round) {
                    while (resets.load() < round) co_await cove::yield();
                    auto operation = event.wait();
                    ++begun;  // from here on every set() counts
                    begun.notify_all();
                    co_await operation;
                    ++over;
                    over.notify_all();
                }
            };
            cove::task_group group;
            group.spawn(waits_in_rounds());
            group.spawn(waits_in_rounds());
            co_await group.join();
        });
    }
    for (int round = 1; round <= rounds; ++round) {
        for (int seen = begun.load(); seen != round * waiters; seen = begun.load()) begun.wait(seen);
        event.set();
        event.reset();
        ++resets;
        for (int seen = over.load(); seen != round * waiters; seen = over.load()) over.wait(seen);
    }
    threads.join();
    CHECK(over.load() == rounds * waiters);
}

TEST_CASE("two loops that set an event for each other lose no wake-up") {
    static constexpr int rounds = 30'000 / test::scale;
    cove::remote_event turns[2];
    test::threads threads;
    for (int mine = 0; mine < 2; ++mine) {
        threads.start_loop([mine, own = turns[mine], other = turns[1 - mine]]() mutable -> cove::task<> {
            for (int round = 0; round < rounds; ++round) {
                if (mine == 0) other.set();
                co_await own.wait();
                own.reset();
                if (mine == 1) other.set();
            }
        });
    }
    threads.join();
    CHECK_FALSE(turns[0].is_set());
    CHECK_FALSE(turns[1].is_set());
}

TEST_CASE("the last handle may end on any thread, after the loops that waited have") {
    for (int round = 0; round < 200 / test::scale; ++round) {
        auto event = std::make_optional<cove::remote_event>();
        test::threads threads;
        for (int i = 0; i < 2; ++i) {
            threads.start_loop([event = *event]() mutable -> cove::task<> {
                co_await event.wait();
                event = cove::remote_event();
            });
        }
        threads.start([event = std::move(*event)]() mutable { event.set(); });
        event.reset();
        threads.join();
    }
}

TEST_CASE("set finds a loop that has ended while it waited gone, and wakes the others") {
    auto body = []() -> cove::task<> {
        cove::remote_event event;
        test::threads ended;
        for (int i = 0; i < 3; ++i) {
            ended.start_loop([event]() mutable -> cove::task<> {
                auto waits_for_it = [&]() -> cove::task<> { co_await event.wait(); };
                cove::task_group group;
                group.spawn(waits_for_it());
                co_await cove::yield();
                event.set();  // ends with the message on its way
                event.reset();
            });
        }
        ended.join();
        std::vector<int> order;
        cove::task_group group;
        group.spawn(waits(event, order, 1));
        co_await cove::yield();
        event.set();
        co_await group.join();
        CHECK(order == std::vector<int>{1});
    };
    test::run_real(body());
}

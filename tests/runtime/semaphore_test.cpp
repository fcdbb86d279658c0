// At most so many at a time, in the order of asking; no permit is lost, and none is made up.

#include <cove/runtime/semaphore.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/test_kernel.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::task<> holds(cove::semaphore& limit, std::vector<int>& order, int name, cove::duration length = 1s) {
    const cove::semaphore::permit held = co_await limit.acquire();
    order.push_back(name);
    co_await cove::sleep_for(length);
}

}  // namespace

TEST_CASE("no more than the permits are held at a time, and those who wait get them in order") {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(3);
        int held_now = 0;
        int held_most = 0;
        std::vector<int> order;
        auto works = [&](int name) -> cove::task<> {
            const cove::semaphore::permit held = co_await limit.acquire();
            held_most = std::max(held_most, ++held_now);
            order.push_back(name);
            co_await cove::sleep_for(1s);
            --held_now;
        };
        cove::task_group group;
        std::vector<int> expected;
        for (int name = 0; name < 20; ++name) {
            group.spawn(works(name));
            expected.push_back(name);
        }
        co_await group.join();
        CHECK(held_most == 3);
        CHECK(order == expected);
        CHECK(limit.available() == 3);
    };
    test::run(body());
}

TEST_CASE("try_acquire takes a permit only if there is one, and overtakes nobody") {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(1);
        std::vector<int> order;
        cove::semaphore::permit held = limit.try_acquire();
        CHECK(held);
        CHECK_FALSE(limit.try_acquire());
        cove::task_group group;
        group.spawn(holds(limit, order, 0));
        co_await cove::yield();
        held.release();
        CHECK_FALSE(held);
        CHECK(order.empty());  // it has been called, and not yet run
        CHECK_FALSE(limit.try_acquire());
        co_await group.join();
        CHECK(order == std::vector<int>{0});
        CHECK(limit.try_acquire());
        CHECK(limit.available() == 1);
    };
    test::run(body());
}

TEST_CASE("who gives a permit back and asks again at once goes to the end of the line") {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(1);
        std::vector<int> order;
        auto asks_again = [&](int name) -> cove::task<> {
            for (int i = 0; i < 3; ++i) {
                const cove::semaphore::permit held = co_await limit.acquire();
                order.push_back(name);
                co_await cove::yield();
            }
        };
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(asks_again(name));
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1, 2, 0, 1, 2, 0, 1, 2});
    };
    test::run(body());
}

TEST_CASE("a permit moves, is given back once, and the one it replaces at once") {
    cove::semaphore limit(2);
    cove::semaphore::permit first = limit.try_acquire();
    cove::semaphore::permit moved(std::move(first));
    CHECK_FALSE(first);
    CHECK(limit.available() == 1);
    cove::semaphore::permit second = limit.try_acquire();
    CHECK(limit.available() == 0);
    moved = std::move(second);
    CHECK(moved);
    CHECK(limit.available() == 1);
    moved = cove::semaphore::permit();
    CHECK(limit.available() == 2);
    moved.release();
    CHECK(limit.available() == 2);
}

TEST_CASE("a kept permit stays taken until somebody releases the semaphore") {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(1);
        {
            cove::semaphore::permit held = co_await limit.acquire();
            held.keep();
            CHECK_FALSE(held);
        }
        CHECK(limit.available() == 0);
        CHECK_FALSE(co_await cove::move_on_after(1s, limit.acquire()));
        limit.release();
        CHECK(limit.available() == 1);
    };
    test::run(body());
}

TEST_CASE("release gives permits to those who wait first, and keeps the rest") {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(0);
        std::vector<int> order;
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(holds(limit, order, name, 1h));
        co_await cove::yield();
        limit.release(2);
        CHECK(limit.available() == 0);
        CHECK(order.empty());
        co_await cove::sleep_for(1s);
        CHECK(order == std::vector<int>{0, 1});
        limit.release(0);
        co_await cove::sleep_for(1s);
        CHECK(order == std::vector<int>{0, 1});
        limit.release(5);
        CHECK(limit.available() == 4);
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1, 2});
        CHECK(limit.available() == 7);
    };
    test::run(body());
}

TEST_CASE("a canceled request takes no permit, and the others keep their order") {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(0);
        std::vector<int> order;
        cove::cancel_scope scope;
        auto in_scope = [&]() -> cove::task<> { CHECK_FALSE(co_await scope.run(holds(limit, order, 99))); };
        cove::task_group group;
        group.spawn(holds(limit, order, 0));
        group.spawn(in_scope());
        group.spawn(holds(limit, order, 1));
        co_await cove::yield();
        scope.cancel();
        limit.release(2);
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1});
        CHECK(limit.available() == 2);
    };
    test::run(body());
}

TEST_CASE("who has been given a permit cannot be canceled any more, and gives it back") {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(0);
        std::vector<int> order;
        cove::task_group group;
        group.spawn(holds(limit, order, 0));
        co_await cove::yield();
        limit.release();
        group.cancel();
        co_await group.join();
        CHECK(order == std::vector<int>{0});
        CHECK(limit.available() == 1);
    };
    test::run(body());
}

TEST_CASE("in a canceled scope no permit is taken, though there is one") {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(1);
        cove::cancel_scope scope;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(limit.acquire()));
        CHECK(limit.available() == 1);
    };
    test::run(body());
}

TEST_CASE("a permit that reached a coroutine which is destroyed before it went on is passed on") {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(0);
        std::vector<int> order;
        auto dropped = std::make_unique<cove::task_group>();
        dropped->spawn(holds(limit, order, 0));
        co_await cove::yield();
        cove::task_group group;
        group.spawn(holds(limit, order, 1));
        co_await cove::yield();
        limit.release();
        dropped.reset();
        co_await group.join();
        CHECK(order == std::vector<int>{1});
        CHECK(limit.available() == 1);
    };
    test::run(body());
}

TEST_CASE("frames that are destroyed leave all permits behind, in whatever state they were") {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(2);
        std::vector<int> order;
        {
            cove::task_group dropped;
            for (int name = 0; name < 8; ++name) dropped.spawn(holds(limit, order, name));
            co_await cove::yield();
            limit.release();
            CHECK(limit.available() == 0);
        }
        CHECK(limit.available() == 3);
        co_await cove::sleep_for(1h);
        CHECK(order == std::vector<int>{0, 1});
    };
    test::run(body());
}

TEST_CASE("requests that are canceled or destroyed while others go first take no permit") {
    auto body = []() -> cove::task<> {
        for (int before = 0; before <= 40; ++before) {
            for (const bool destroyed : {false, true}) {
                CAPTURE(before);
                CAPTURE(destroyed);
                cove::semaphore limit(1);
                bool asks = false;
                auto spends = [&]() -> cove::task<> {
                    for (int i = 0; i < before; ++i) (co_await limit.acquire()).release();
                    asks = true;
                    const cove::semaphore::permit held = co_await limit.acquire();
                    co_await cove::sleep_for(1h);
                };
                {
                    cove::task_group group;
                    group.spawn(spends());
                    while (!asks) co_await cove::yield();
                    if (!destroyed) {
                        group.cancel();
                        co_await group.join();
                    }
                }
                CHECK(limit.available() == 1);
            }
        }
    };
    test::run(body());
}

TEST_CASE("nobody overtakes who has begun to wait, however many operations it did before") {
    auto body = []() -> cove::task<> {
        for (int before = 0; before <= 70; ++before) {
            for (const std::size_t permits : {0U, 1U}) {
                CAPTURE(before);
                CAPTURE(permits);
                cove::semaphore open(1);
                cove::semaphore limit(permits);
                std::vector<int> order;
                bool asks = false;
                auto spends = [&]() -> cove::task<> {
                    for (int i = 0; i < before; ++i) (co_await open.acquire()).release();
                    asks = true;
                    co_await holds(limit, order, 0);
                };
                auto comes_second = [&]() -> cove::task<> {
                    while (!asks) co_await cove::yield();
                    CHECK_FALSE(limit.try_acquire());
                    co_await holds(limit, order, 1);
                };
                cove::task_group group;
                group.spawn(spends());
                group.spawn(comes_second());
                co_await cove::sleep_for(1s);
                if (permits == 0) limit.release();
                co_await group.join();
                CHECK(order == std::vector<int>{0, 1});
                CHECK(limit.available() == 1);
            }
        }
    };
    test::run(body());
}

TEST_CASE("a coroutine that always gets its permit at once lets the others have their turns") {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(1);
        bool had_turn = false;
        int taken = 0;
        auto never_suspends = [&]() -> cove::task<> {
            for (; !had_turn && taken < 10'000; ++taken) (co_await limit.acquire()).release();
        };
        auto other = [&]() -> cove::task<> {
            const cove::semaphore::permit held = co_await limit.acquire();
            had_turn = true;
        };
        cove::task_group group;
        group.spawn(never_suspends());
        group.spawn(other());
        co_await group.join();
        CHECK(taken > 1);
        CHECK(taken <= 64);
        CHECK(limit.available() == 1);
    };
    test::run(body());
}

TEST_CASE("waiting for a permit allocates nothing" * doctest::skip(!test::counts_allocations)) {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(1);
        auto takes_often = [&]() -> cove::task<> {
            for (int i = 0; i < 200; ++i) {
                const cove::semaphore::permit held = co_await limit.acquire();
                co_await cove::yield();
            }
        };
        cove::task_group group;
        group.spawn(takes_often());
        long start = 0;
        for (int i = 0; i < 200; ++i) {
            if (i == 100) start = test::allocations();
            const cove::semaphore::permit held = co_await limit.acquire();
            co_await cove::yield();
        }
        CHECK(test::allocations() == start);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a stack shows the name of the semaphore") {
    auto body = []() -> cove::task<> {
        cove::semaphore limit(0);
        cove::semaphore named(0, "a connection to spare");
        std::vector<int> order;
        cove::task_group group;
        group.spawn(holds(limit, order, 0));
        group.spawn(holds(named, order, 1));
        co_await cove::yield();
        const std::string text = cove::async_stacks();
        CHECK(text.find("semaphore\n    at semaphore_test.cpp:") != std::string::npos);
        CHECK(text.find("a connection to spare\n    at semaphore_test.cpp:") != std::string::npos);
    };
    test::run(body());
}

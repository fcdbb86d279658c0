// Many readers or one writer, in the order of asking; who leaves the line holds up nobody behind it.

#include <cove/runtime/shared_mutex.hpp>

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
#include <memory>
#include <string>
#include <utility>

using namespace std::chrono_literals;

namespace {

cove::task<> reads(cove::shared_mutex& lock, std::string& log, char name) {
    const cove::shared_mutex::guard held = co_await lock.lock_shared();
    log += name;
    co_await cove::sleep_for(1s);
}

cove::task<> writes(cove::shared_mutex& lock, std::string& log, char name) {
    const cove::shared_mutex::guard held = co_await lock.lock();
    log += name;
    co_await cove::sleep_for(1s);
}

bool is_free(cove::shared_mutex& lock) { return static_cast<bool>(lock.try_lock()); }

}  // namespace

TEST_CASE("readers hold the lock together, and a writer alone") {
    auto body = []() -> cove::task<> {
        cove::shared_mutex lock;
        int readers = 0;
        int writers = 0;
        int readers_most = 0;
        bool was_right = true;
        auto look = [&] { was_right = was_right && writers <= 1 && (writers == 0 || readers == 0); };
        auto reader = [&](int name) -> cove::task<> {
            for (int i = 0; i < 10; ++i) {
                co_await cove::sleep_for(1ms * (name % 3));
                const cove::shared_mutex::guard held = co_await lock.lock_shared();
                readers_most = std::max(readers_most, ++readers);
                look();
                co_await cove::sleep_for(5ms);
                look();
                --readers;
            }
        };
        auto writer = [&](int name) -> cove::task<> {
            for (int i = 0; i < 10; ++i) {
                co_await cove::sleep_for(7ms * (name + 1));
                const cove::shared_mutex::guard held = co_await lock.lock();
                ++writers;
                look();
                co_await cove::sleep_for(3ms);
                look();
                --writers;
            }
        };
        cove::task_group group;
        for (int name = 0; name < 6; ++name) group.spawn(reader(name));
        for (int name = 0; name < 2; ++name) group.spawn(writer(name));
        co_await group.join();
        CHECK(was_right);
        CHECK(readers_most == 6);
        CHECK(is_free(lock));
    };
    test::run(body());
}

TEST_CASE("a reader that comes after a waiting writer waits, so that neither kind starves") {
    auto body = []() -> cove::task<> {
        cove::shared_mutex lock;
        std::string log;
        cove::task_group group;
        group.spawn(reads(lock, log, 'a'));
        group.spawn(writes(lock, log, 'W'));
        group.spawn(reads(lock, log, 'b'));
        group.spawn(reads(lock, log, 'c'));
        group.spawn(writes(lock, log, 'X'));
        group.spawn(reads(lock, log, 'd'));
        co_await cove::sleep_for(500ms);
        CHECK(log == "a");
        co_await cove::sleep_for(1s);
        CHECK(log == "aW");
        co_await cove::sleep_for(1s);
        CHECK(log == "aWbc");
        co_await cove::sleep_for(1s);
        CHECK(log == "aWbcX");
        co_await group.join();
        CHECK(log == "aWbcXd");
    };
    test::run(body());
}

TEST_CASE("the try_ forms take what is free, and overtake nobody") {
    auto body = []() -> cove::task<> {
        cove::shared_mutex lock;
        std::string log;
        cove::shared_mutex::guard first = lock.try_lock_shared();
        cove::shared_mutex::guard second = lock.try_lock_shared();
        CHECK(first);
        CHECK(second);
        CHECK_FALSE(lock.try_lock());
        cove::task_group group;
        group.spawn(writes(lock, log, 'W'));
        co_await cove::yield();
        CHECK_FALSE(lock.try_lock_shared());
        first.release();
        CHECK_FALSE(lock.try_lock_shared());
        second.release();
        CHECK(log.empty());
        CHECK_FALSE(lock.try_lock_shared());  // handed over, though not yet run
        CHECK_FALSE(lock.try_lock());
        co_await group.join();
        CHECK(log == "W");
        const cove::shared_mutex::guard alone = lock.try_lock();
        CHECK(alone);
        CHECK_FALSE(lock.try_lock());
        CHECK_FALSE(lock.try_lock_shared());
    };
    test::run(body());
}

TEST_CASE("a guard moves and unlocks once, in the mode in which it holds") {
    cove::shared_mutex lock;
    cove::shared_mutex other;
    cove::shared_mutex::guard reader = lock.try_lock_shared();
    cove::shared_mutex::guard writer = other.try_lock();
    cove::shared_mutex::guard moved(std::move(reader));
    CHECK_FALSE(reader);
    CHECK_FALSE(lock.try_lock());
    moved = std::move(writer);
    CHECK_FALSE(writer);
    CHECK(is_free(lock));
    CHECK_FALSE(other.try_lock_shared());
    moved.release();
    moved.release();
    CHECK_FALSE(moved);
    CHECK(is_free(other));
}

TEST_CASE("a canceled writer lets the readers behind it pass, up to the next writer") {
    auto body = []() -> cove::task<> {
        cove::shared_mutex lock;
        std::string log;
        cove::cancel_scope scope;
        auto in_scope = [&]() -> cove::task<> { CHECK_FALSE(co_await scope.run(writes(lock, log, 'W'))); };
        cove::shared_mutex::guard held = co_await lock.lock_shared();
        cove::task_group group;
        group.spawn(in_scope());
        group.spawn(reads(lock, log, 'a'));
        group.spawn(reads(lock, log, 'b'));
        group.spawn(writes(lock, log, 'X'));
        group.spawn(reads(lock, log, 'c'));
        co_await cove::sleep_for(1h);
        CHECK(log.empty());
        scope.cancel();
        CHECK(log.empty());  // canceling runs nobody
        co_await cove::sleep_for(1h);
        CHECK(log == "ab");
        held.release();
        co_await group.join();
        CHECK(log == "abXc");
        CHECK(is_free(lock));
    };
    test::run(body());
}

TEST_CASE("a canceled reader takes no lock, and the others keep their order") {
    auto body = []() -> cove::task<> {
        cove::shared_mutex lock;
        std::string log;
        cove::cancel_scope scope;
        auto in_scope = [&]() -> cove::task<> { CHECK_FALSE(co_await scope.run(reads(lock, log, 'x'))); };
        cove::shared_mutex::guard held = co_await lock.lock();
        cove::task_group group;
        group.spawn(writes(lock, log, 'W'));
        group.spawn(in_scope());
        group.spawn(writes(lock, log, 'X'));
        co_await cove::yield();
        scope.cancel();
        held.release();
        co_await group.join();
        CHECK(log == "WX");
        CHECK(is_free(lock));
    };
    test::run(body());
}

TEST_CASE("a lock that was granted before the cancellation is held, and released after it") {
    auto body = []() -> cove::task<> {
        cove::shared_mutex lock;
        std::string log;
        cove::shared_mutex::guard held = co_await lock.lock();
        cove::task_group group;
        group.spawn(reads(lock, log, 'a'));
        group.spawn(reads(lock, log, 'b'));
        group.spawn(writes(lock, log, 'W'));
        co_await cove::yield();
        held.release();
        group.cancel();
        co_await group.join();
        CHECK(log == "ab");
        CHECK(is_free(lock));
    };
    test::run(body());
}

TEST_CASE("a whole line that is canceled leaves the lock to the one who holds it") {
    auto body = []() -> cove::task<> {
        for (const bool shared : {false, true}) {
            CAPTURE(shared);
            cove::shared_mutex lock;
            std::string log;
            cove::shared_mutex::guard held;
            if (shared)
                held = lock.try_lock_shared();
            else
                held = lock.try_lock();
            cove::task_group group;
            for (int i = 0; i < 3; ++i) {
                group.spawn(writes(lock, log, 'W'));
                group.spawn(reads(lock, log, 'a'));
            }
            co_await cove::yield();
            group.cancel();
            co_await group.join();
            CHECK(std::count(log.begin(), log.end(), 'W') == 0);
            CHECK_FALSE(is_free(lock));
            held.release();
            CHECK(is_free(lock));
        }
    };
    test::run(body());
}

TEST_CASE("in a canceled scope the lock is not taken, though it is free") {
    auto body = []() -> cove::task<> {
        cove::shared_mutex lock;
        cove::cancel_scope exclusive;
        exclusive.cancel();
        CHECK_FALSE(co_await exclusive.run(lock.lock()));
        cove::cancel_scope shared;
        shared.cancel();
        CHECK_FALSE(co_await shared.run(lock.lock_shared()));
        CHECK(is_free(lock));
    };
    test::run(body());
}

TEST_CASE("a writer that is destroyed in the line lets the readers behind it pass") {
    auto body = []() -> cove::task<> {
        cove::shared_mutex lock;
        std::string log;
        cove::shared_mutex::guard held = co_await lock.lock_shared();
        auto dropped = std::make_unique<cove::task_group>();
        dropped->spawn(writes(lock, log, 'W'));
        co_await cove::yield();
        cove::task_group group;
        group.spawn(reads(lock, log, 'a'));
        co_await cove::yield();
        dropped.reset();
        co_await group.join();
        CHECK(log == "a");
        held.release();
        CHECK(is_free(lock));
    };
    test::run(body());
}

TEST_CASE("a lock that was granted to frames which are destroyed before they went on is passed on") {
    auto body = []() -> cove::task<> {
        for (const bool exclusive : {false, true}) {
            CAPTURE(exclusive);
            cove::shared_mutex lock;
            std::string log;
            cove::shared_mutex::guard held = co_await lock.lock();
            auto dropped = std::make_unique<cove::task_group>();
            if (exclusive) {
                dropped->spawn(writes(lock, log, 'W'));
            } else {
                dropped->spawn(reads(lock, log, 'a'));
                dropped->spawn(reads(lock, log, 'b'));
            }
            co_await cove::yield();
            cove::task_group group;
            group.spawn(writes(lock, log, 'X'));
            group.spawn(reads(lock, log, 'c'));
            co_await cove::yield();
            held.release();
            dropped.reset();
            co_await group.join();
            CHECK(log == "Xc");
            CHECK(is_free(lock));
        }
    };
    test::run(body());
}

TEST_CASE("a group of holders, granted and waiting that is destroyed leaves the lock free") {
    auto body = []() -> cove::task<> {
        cove::shared_mutex lock;
        std::string log;
        {
            cove::task_group dropped;
            for (int i = 0; i < 3; ++i) {
                dropped.spawn(reads(lock, log, 'a'));
                dropped.spawn(writes(lock, log, 'W'));
                dropped.spawn(reads(lock, log, 'b'));
            }
            co_await cove::yield();
        }
        CHECK(is_free(lock));
        co_await cove::sleep_for(1h);
        CHECK(log == "a");
    };
    test::run(body());
}

TEST_CASE("requests that are canceled or destroyed while others go first take no lock") {
    auto body = []() -> cove::task<> {
        for (int before = 0; before <= 40; ++before) {
            for (const bool destroyed : {false, true}) {
                CAPTURE(before);
                CAPTURE(destroyed);
                cove::shared_mutex lock;
                bool asks = false;
                auto spends = [&]() -> cove::task<> {
                    for (int i = 0; i < before; ++i) (co_await lock.lock_shared()).release();
                    asks = true;
                    const cove::shared_mutex::guard held = co_await lock.lock();
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
                CHECK(is_free(lock));
            }
        }
    };
    test::run(body());
}

TEST_CASE("nobody overtakes who has begun to wait, however many operations it did before") {
    auto body = []() -> cove::task<> {
        for (int before = 0; before <= 70; ++before) {
            CAPTURE(before);
            cove::shared_mutex open;
            cove::shared_mutex lock;
            std::string log;
            bool asks = false;
            auto spends = [&]() -> cove::task<> {
                for (int i = 0; i < before; ++i) (co_await open.lock()).release();
                asks = true;
                co_await writes(lock, log, 'W');
            };
            auto comes_second = [&]() -> cove::task<> {
                while (!asks) co_await cove::yield();
                CHECK_FALSE(lock.try_lock_shared());
                co_await reads(lock, log, 'a');
            };
            cove::shared_mutex::guard held = co_await lock.lock_shared();
            cove::task_group group;
            group.spawn(spends());
            group.spawn(comes_second());
            co_await cove::sleep_for(1s);
            CHECK(log.empty());
            held.release();
            co_await group.join();
            CHECK(log == "Wa");
            CHECK(is_free(lock));
        }
    };
    test::run(body());
}

TEST_CASE("who locks in a loop without waiting lets others have the lock") {
    auto body = []() -> cove::task<> {
        cove::shared_mutex lock;
        bool had_lock = false;
        int taken = 0;
        auto never_suspends = [&]() -> cove::task<> {
            for (; !had_lock && taken < 10'000; ++taken) {
                if (taken % 2 == 0)
                    (co_await lock.lock_shared()).release();
                else
                    (co_await lock.lock()).release();
            }
        };
        auto other = [&]() -> cove::task<> {
            const cove::shared_mutex::guard held = co_await lock.lock();
            had_lock = true;
        };
        cove::task_group group;
        group.spawn(never_suspends());
        group.spawn(other());
        co_await group.join();
        CHECK(taken > 1);
        CHECK(taken <= 64);
    };
    test::run(body());
}

TEST_CASE("locking, shared or not, allocates nothing" * doctest::skip(!test::counts_allocations)) {
    auto body = []() -> cove::task<> {
        cove::shared_mutex lock;
        bool done = false;
        auto writes_often = [&]() -> cove::task<> {
            while (!done) {
                const cove::shared_mutex::guard held = co_await lock.lock();
                co_await cove::yield();
            }
        };
        cove::task_group group;
        group.spawn(writes_often());
        long start = 0;
        for (int i = 0; i < 200; ++i) {
            if (i == 100) start = test::allocations();
            const cove::shared_mutex::guard held = co_await lock.lock_shared();
            co_await cove::yield();
        }
        CHECK(test::allocations() == start);
        done = true;
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a stack says in which mode the lock is waited for") {
    auto body = []() -> cove::task<> {
        cove::shared_mutex lock;
        std::string log;
        const cove::shared_mutex::guard held = co_await lock.lock();
        cove::task_group group;
        group.spawn(reads(lock, log, 'a'));
        group.spawn(writes(lock, log, 'W'));
        co_await cove::yield();
        const std::string text = cove::async_stacks();
        CHECK(text.find("shared_mutex, shared\n    at shared_mutex_test.cpp:") != std::string::npos);
        CHECK(text.find("shared_mutex, exclusive\n    at shared_mutex_test.cpp:") != std::string::npos);
    };
    test::run(body());
}

// Nothing outlives its group: by joining, by failing, by being canceled, or by destruction there and then.

#include <cove/runtime/task_group.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/descriptor.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/readiness.hpp>
#include <cove/runtime/signals.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <doctest/doctest.h>
#include <support/child.hpp>
#include <support/test_kernel.hpp>

#include <sys/eventfd.h>
#include <unistd.h>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

struct at_end {
    explicit at_end(std::function<void()> f) : call(std::move(f)) {}
    at_end(const at_end&) = delete;
    at_end& operator=(const at_end&) = delete;
    ~at_end() { call(); }
    std::function<void()> call;
};

cove::task<> appends(std::vector<int>& order, int value) {
    order.push_back(value);
    co_return;
}

cove::task<> sleeps(cove::duration length, int& ended) {
    co_await cove::sleep_for(length);
    ++ended;
}

cove::task<> fails_after(cove::duration length, const char* why) {
    co_await cove::sleep_for(length);
    throw std::runtime_error(why);
}

// Tells a cancellation from an end by destruction, which runs no handler.
cove::task<> counts_cancellation(int& canceled, cove::duration cleans_up = 0s) {
    bool caught = false;
    try {
        co_await cove::sleep_for(24h);
    } catch (const cove::canceled&) {
        caught = true;
    }
    if (!caught) co_return;
    co_await cove::shield(cove::sleep_for(cleans_up));
    ++canceled;
    throw cove::canceled();
}

cove::task<> wait_in(cove::wait_queue& queue) { co_await queue.wait(); }
cove::task<> wait_readable(int fd) { co_await cove::readable(fd); }
cove::task<> wait_signal(cove::signal_set& signals) { co_await signals.next(); }
cove::task<> wait_limited(cove::wait_queue& queue) { co_await cove::timeout(1min, queue.wait()); }
cove::task<> wait_joining(cove::wait_queue& queue) {
    cove::task_group inner;
    inner.spawn(wait_in(queue));
    co_await inner.join();
}

cove::task<> spawns_more(cove::task_group& group, int generations, int& ended) {
    if (generations > 0) {
        group.spawn(spawns_more(group, generations - 1, ended));
        group.spawn(spawns_more(group, generations - 1, ended));
    }
    co_await cove::yield();
    ++ended;
}

}  // namespace

TEST_CASE("join waits for every task, and tasks start in the order of their spawning") {
    auto body = []() -> cove::task<> {
        std::vector<int> order;
        int ended = 0;
        cove::task_group group;
        for (int i = 0; i < 10; ++i) group.spawn(appends(order, i));
        for (int i = 1; i <= 10; ++i) group.spawn(sleeps(std::chrono::seconds(i), ended));
        CHECK(order.empty());
        CHECK(group.size() == 20);
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
        CHECK(ended == 10);
        CHECK(group.size() == 0);
    };
    test::run(body());
}

TEST_CASE("join of a group without tasks returns at once, and a group is used again after it") {
    auto body = []() -> cove::task<> {
        cove::task_group group;
        co_await group.join();
        int ended = 0;
        for (int round = 1; round <= 3; ++round) {
            group.spawn(sleeps(1s, ended));
            co_await group.join();
            CHECK(ended == round);
        }
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("the first exception cancels the siblings, and join throws it once they have ended") {
    auto body = []() -> cove::task<> {
        int canceled = 0;
        cove::task_group group;
        for (int i = 0; i < 5; ++i) group.spawn(counts_cancellation(canceled, 10s));
        group.spawn(fails_after(1s, "first"));
        group.spawn(fails_after(1h, "second"));
        std::string what;
        const cove::time_point start = cove::now();
        try {
            co_await group.join();
        } catch (const std::runtime_error& error) {
            what = error.what();
        }
        CHECK(what == "first");
        CHECK(canceled == 5);
        CHECK(group.size() == 0);
        CHECK(cove::now() - start >= 11s);
        CHECK(cove::now() - start < 1h);
        co_await group.join();  // the exception was taken
    };
    test::run(body());
}

TEST_CASE("of two exceptions in one turn join throws the first") {
    auto body = []() -> cove::task<> {
        cove::task_group group;
        auto fails = [](const char* why) -> cove::task<> {
            throw std::runtime_error(why);
            co_return;
        };
        group.spawn(fails("first"));
        group.spawn(fails("second"));
        CHECK_THROWS_WITH(co_await group.join(), "first");
    };
    test::run(body());
}

TEST_CASE("a failure before join is not lost") {
    auto body = []() -> cove::task<> {
        cove::task_group group;
        group.spawn(fails_after(0s, "early"));
        co_await cove::sleep_for(1s);
        CHECK(group.size() == 0);
        CHECK_THROWS_WITH(co_await group.join(), "early");
    };
    test::run(body());
}

TEST_CASE("cancel reaches the tasks, those to come as well, and join returns normally") {
    auto body = []() -> cove::task<> {
        int canceled = 0;
        cove::task_group group;
        group.spawn(counts_cancellation(canceled));
        co_await cove::yield();
        group.cancel();
        group.spawn(counts_cancellation(canceled));
        co_await group.join();
        CHECK(canceled == 2);
        co_await cove::sleep_for(1s);  // the group's owner is not canceled
    };
    test::run(body());
}

TEST_CASE("cancellation from around ends the tasks first, and then join throws canceled") {
    auto body = []() -> cove::task<> {
        int canceled = 0;
        int after_join = 0;
        auto inside = [&]() -> cove::task<> {
            cove::task_group group;
            group.spawn(counts_cancellation(canceled, 5s));
            group.spawn(counts_cancellation(canceled, 10s));
            try {
                co_await group.join();
            } catch (const cove::canceled&) {
                after_join = canceled;
                throw;
            }
        };
        CHECK_FALSE(co_await cove::move_on_after(1s, inside()));
        CHECK(after_join == 2);
    };
    test::run(body());
}

TEST_CASE("a limit on join alone ends the wait and leaves the tasks alone") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        cove::task_group group;
        group.spawn(sleeps(1min, ended));
        CHECK_FALSE(co_await cove::move_on_after(1s, group.join()));
        CHECK(group.size() == 1);
        co_await group.join();
        CHECK(ended == 1);
    };
    test::run(body());
}

TEST_CASE("join throws canceled only where the cancellation has ended a task") {
    auto body = []() -> cove::task<> {
        auto inside = []() -> cove::task<int> {
            cove::task_group group;
            auto protected_one = []() -> cove::task<> { co_await cove::shield(cove::sleep_for(10s)); };
            group.spawn(protected_one());
            co_await group.join();
            co_return 1;
        };
        CHECK(co_await cove::move_on_after(1s, inside()) == std::optional<int>(1));
    };
    test::run(body());
}

TEST_CASE("a shielded group is beyond the reach of the scope around it") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        scope.enter(cove::current_scope());
        int ended = 0;
        cove::task_group group(scope, true);
        group.spawn(sleeps(10s, ended));
        co_await cove::yield();
        scope.cancel();
        co_await group.join();
        CHECK(ended == 1);
    };
    test::run(body());
}

TEST_CASE("destruction ends the tasks there and then, and withdraws every kind of wait") {
    auto body = []() -> cove::task<> {
        const int event = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        cove::wait_queue queue;
        {
            cove::signal_set signals{SIGUSR2};
            int ended = 0;
            const long before = cove::detail::frames.live();
            {
                cove::task_group group;
                group.spawn(wait_in(queue));
                group.spawn(wait_in(queue));
                group.spawn(wait_limited(queue));
                group.spawn(wait_joining(queue));
                group.spawn(wait_readable(event));
                group.spawn(wait_signal(signals));
                group.spawn(sleeps(1min, ended));
                co_await cove::sleep_for(1s);
                group.spawn(sleeps(1min, ended));  // not started
                CHECK_FALSE(queue.empty());
            }
            CHECK(cove::detail::frames.live() == before);
            CHECK(queue.empty());
            CHECK(ended == 0);
            CHECK(cove::loop::current().reactor().waiting == 0);
        }
        const std::uint64_t one = 1;
        CHECK(::write(event, &one, sizeof one) == sizeof one);
        queue.wake_all();
        co_await cove::sleep_for(1h);
        ::close(event);
    };
    test::run_on_linux(body());
}

TEST_CASE("destruction withdraws tasks that stand in the ready queue") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        auto group = std::make_unique<cove::task_group>();
        int resumed = 0;
        auto waits = [&]() -> cove::task<> {
            co_await queue.wait();
            ++resumed;
        };
        for (int i = 0; i < 3; ++i) group->spawn(waits());
        co_await cove::yield();
        queue.wake_all();
        group.reset();
        co_await cove::yield();
        CHECK(resumed == 0);
    };
    test::run(body());
}

TEST_CASE("an exception in the group's owner ends the tasks before it leaves") {
    auto body = []() -> cove::task<> {
        bool ended = false;
        auto owner = [&ended]() -> cove::task<> {
            auto waits = [&ended]() -> cove::task<> {
                const at_end told([&ended] { ended = true; });
                co_await cove::sleep_for(1h);
            };
            cove::task_group group;
            group.spawn(waits());
            co_await cove::yield();
            throw std::runtime_error("leaves early");
        };
        CHECK_THROWS_AS(co_await owner(), std::runtime_error);
        CHECK(ended);
    };
    test::run(body());
}

TEST_CASE("spawn keeps the captures of a coroutine lambda alive until its task has ended") {
    auto body = []() -> cove::task<> {
        auto shared = std::make_shared<std::string>("kept");
        std::string seen;
        cove::task_group group;
        {
            auto lambda = [shared, &seen]() -> cove::task<> {
                co_await cove::sleep_for(1s);
                seen = *shared;
            };
            group.spawn(std::move(lambda));
        }
        CHECK(shared.use_count() == 2);
        co_await group.join();
        CHECK(seen == "kept");
        CHECK(shared.use_count() == 1);
        // And no longer: also where it is destroyed half way.
        {
            cove::task_group cut_short;
            auto lambda = [shared]() -> cove::task<> { co_await cove::sleep_for(1s); };
            cut_short.spawn(lambda);
            co_await cove::yield();
            CHECK(shared.use_count() == 3);
        }
        CHECK(shared.use_count() == 1);
    };
    test::run(body());
}

TEST_CASE("tasks may spawn into their own group, and join waits for the last generation") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        cove::task_group group;
        group.spawn(spawns_more(group, 9, ended));
        co_await group.join();
        CHECK(ended == 1023);
    };
    test::run(body());
}

TEST_CASE("a task that ends cancels its group from a destructor without resuming anybody on the spot") {
    auto body = []() -> cove::task<> {
        int canceled = 0;
        int canceled_on_the_spot = -1;
        cove::task_group group;
        auto cancels_at_end = [&]() -> cove::task<> {
            const at_end told([&] {
                group.cancel();
                canceled_on_the_spot = canceled;
            });
            co_await cove::sleep_for(1s);
        };
        group.spawn(counts_cancellation(canceled));
        group.spawn(cancels_at_end());
        group.spawn(counts_cancellation(canceled));
        co_await group.join();
        CHECK(canceled_on_the_spot == 0);
        CHECK(canceled == 2);
    };
    test::run(body());
}

TEST_CASE("a group that one of its own tasks destroys, or what that one leaves on its end, says so") {
    const auto destroys = [](auto spawn) {
        return test::in_child([&spawn] {
            auto body = [&spawn]() -> cove::task<> {
                auto group = std::make_shared<cove::task_group>();
                spawn(group);
                group.reset();
                co_await cove::sleep_for(1h);
            };
            test::run(body());
            return 0;
        });
    };
    const auto while_it_runs = [](std::shared_ptr<cove::task_group>& group) {
        group->spawn([held = group]() mutable -> cove::task<> {
            held.reset();
            co_return;
        });
    };
    const auto by_what_it_holds = [](std::shared_ptr<cove::task_group>& group) {
        group->spawn([held = group]() -> cove::task<> { co_return; });
    };
    for (const test::child_end& seen : {destroys(while_it_runs), destroys(by_what_it_holds)}) {
        CAPTURE(seen.said);
        CHECK(seen.status == -SIGABRT);
        CHECK(seen.said.find("a task_group was destroyed by one of its own tasks") != std::string::npos);
    }
}

TEST_CASE("while a group is destroyed a task's destructor may cancel it and spawn into it") {
    auto body = []() -> cove::task<> {
        std::vector<int> order;
        {
            cove::task_group group;
            auto meddles = [&]() -> cove::task<> {
                const at_end told([&] {
                    group.cancel();
                    group.spawn(appends(order, 1));
                });
                co_await cove::sleep_for(1h);
            };
            group.spawn(meddles());
            group.spawn(meddles());
            co_await cove::yield();
        }
        co_await cove::yield();
        CHECK(order.empty());
    };
    test::run(body());
}

TEST_CASE("a hundred thousand tasks run, end and leave nothing") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        cove::task_group group;
        for (int i = 0; i < 100'000; ++i) group.spawn(sleeps(1s, ended));
        co_await group.join();
        CHECK(ended == 100'000);
    };
    test::run(body());
}

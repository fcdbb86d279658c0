// What a turn of the loop promises: order, fairness, sleep, and a report when nothing can ever happen.

#include <cove/runtime/loop.hpp>

#include <cove/runtime/descriptor.hpp>
#include <cove/runtime/readiness.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <doctest/doctest.h>
#include <support/child.hpp>
#include <support/test_kernel.hpp>

#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::task<> yields(std::vector<int>& order, int name, int times) {
    for (int i = 0; i < times; ++i) {
        order.push_back(name);
        co_await cove::yield();
    }
}

cove::task<> spins(const bool& stop, long& rounds) {
    while (!stop) {
        ++rounds;
        co_await cove::yield();
    }
}

cove::task<> computes_and_yields(int times, cove::duration length) {
    for (int i = 0; i < times; ++i) {
        const cove::time_point end = cove::now() + length;
        while (cove::now() < end) {
        }
        co_await cove::yield();
    }
}

cove::task<> sleeps(cove::duration length, int& ended) {
    co_await cove::sleep_for(length);
    ++ended;
}

cove::task<> sleeps_again(cove::duration length, int times, int& ended) {
    while (ended < times) co_await sleeps(length, ended);
}

cove::task<> waits_in(cove::wait_queue& queue) { co_await queue.wait(); }

// Answers one call with an error, from the given time on it is made.
std::function<std::optional<long>(std::string_view, int)> refuse(std::string_view call, long error) {
    return [call, error](std::string_view made, int) -> std::optional<long> {
        if (made == call) return error;
        return {};
    };
}

cove::task<> nothing() { co_return; }
cove::task<int> runs_inside() { co_return cove::run(nothing()); }
cove::task<> goes_on_in_child() {
    co_await cove::yield();
    const pid_t child = ::fork();
    if (child != 0) {
        int status = 0;
        ::waitpid(child, &status, 0);
        // The child's end, as an exit status of this process.
        ::_exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? 3 : 4);
    }
    co_await cove::sleep_for(1ms);
}

}  // namespace

TEST_CASE("ready coroutines run in order, each once in a turn") {
    auto body = []() -> cove::task<> {
        std::vector<int> order;
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(yields(order, name, 3));
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1, 2, 0, 1, 2, 0, 1, 2});
    };
    test::run(body());
}

TEST_CASE("a coroutine that always has work keeps neither timers nor descriptors nor others waiting") {
    test::test_kernel os;
    os.jump = false;
    auto body = []() -> cove::task<> {
        bool stop = false;
        long rounds = 0;
        cove::task_group group;
        group.spawn(spins(stop, rounds));
        co_await cove::sleep_for(1ms);
        const int event = ::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        const long before = rounds;
        co_await cove::readable(event);
        CHECK(rounds - before <= 2048);
        const long then = rounds;
        co_await cove::yield();
        CHECK(rounds - then <= 2);
        stop = true;
        ::close(event);
        co_await group.join();
    };
    test::run(body(), os);
}

TEST_CASE(
    "under constant work the loop polls after 64 resumes, unless those are but an instant, and after 1024 in any "
    "case") {
    auto polls_in = [](int yields, cove::duration length) -> cove::task<std::uint64_t> {
        const auto before = cove::loop::current().counters().polls;
        co_await computes_and_yields(yields, length);
        co_return cove::loop::current().counters().polls - before;
    };
    test::test_kernel os;
    CHECK(test::run(polls_in(640, 1us), os) >= 9);
    const auto polls = test::run(polls_in(10 * 1024, 0us));  // in simulated time all of it happens at once
    CHECK(polls >= 9);
    CHECK(polls <= 11);
}

TEST_CASE("an idle loop sleeps: an hour costs a turn, not an hour of turns") {
    test::test_kernel os;
    auto body = [&os]() -> cove::task<> {
        const auto turns = cove::loop::current().counters().turns;
        const long waits = os.calls["wait"];
        co_await cove::sleep_for(1h);
        CHECK(cove::loop::current().counters().turns - turns < 8);
        CHECK(os.calls["wait"] - waits < 8);
    };
    test::run(body(), os);
}

TEST_CASE("busy polling: while events come soon the loop looks for them without sleeping") {
    test::test_kernel os;
    os.jump = false;
    cove::run_options options;
    options.os = &os;
    options.stop_on_signals = false;
    options.busy_poll = 1h;
    int ended = 0;
    cove::run(sleeps_again(10us, 100, ended), options);
    CHECK(ended == 100);
    CHECK(os.calls["wait(0)"] >= 99);
    CHECK(os.calls["wait"] - os.calls["wait(0)"] == 1);  // the first, before it was known that they come soon
}

TEST_CASE("busy polling: a loop that becomes idle looks in vain for a while, once, and then sleeps") {
    test::test_kernel os;
    cove::run_options options;
    options.os = &os;
    options.stop_on_signals = false;
    options.busy_poll = 1ms;
    long looks = 0;
    int ended = 0;
    auto short_then_long = [&]() -> cove::task<> {
        co_await sleeps_again(10us, 10, ended);
        co_await sleeps(1h, ended);  // would take an hour, if the loop did not sleep: time jumps only then
        looks = os.calls["wait(0)"];
        co_await sleeps_again(1h, 100, ended);
    };
    cove::run(short_then_long(), options);
    CHECK(ended == 100);
    CHECK(os.calls["wait(0)"] == looks);
    CHECK(os.calls["wait"] - looks <= 140);  // timers of the far future move down the wheel now and then
}

TEST_CASE("ten thousand timers that are due together each fire once") {
    test::test_kernel os;
    auto body = []() -> cove::task<> {
        int ended = 0;
        cove::task_group group;
        for (int i = 0; i < 10'000; ++i) group.spawn(sleeps(std::chrono::milliseconds(1 + i % 100), ended));
        co_await cove::sleep_for(10s);
        CHECK(ended == 10'000);
        co_await group.join();
        CHECK(ended == 10'000);
    };
    test::run(body(), os);
}

TEST_CASE("a program in which nothing can ever happen ends with a deadlock_error that lists who waits for what") {
    cove::wait_queue queue("the key to the cellar");
    auto middle = [&queue]() -> cove::task<> { co_await waits_in(queue); };
    auto body = [&middle]() -> cove::task<> {
        cove::task_group group;
        group.spawn(middle());
        co_await group.join();
    };
    std::string text;
    std::error_code code;
    try {
        test::run(body());
    } catch (const cove::deadlock_error& error) {
        text = error.what();
        code = error.code();
    }
    CAPTURE(text);
    CHECK(code == cove::errc::deadlock);
    CHECK(text.find("the key to the cellar") != std::string::npos);
    CHECK(text.find("join of 1 task\n") != std::string::npos);
    CHECK(text.find("loop_test.cpp:") != std::string::npos);
}

TEST_CASE("a coroutine that waits for a descriptor or for time is no deadlock") {
    auto body = []() -> cove::task<> {
        const int event = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        CHECK_FALSE(co_await cove::move_on_after(1h, cove::readable(event)));
        ::close(event);
    };
    test::run_on_linux(body());
}

TEST_CASE("an interrupted wait is no event and no error") {
    test::test_kernel os;
    int interruptions = 100;
    os.fault = [&interruptions](std::string_view call, int) -> std::optional<long> {
        if (call == "wait" && interruptions-- > 0) return -EINTR;
        return {};
    };
    auto body = []() -> cove::task<> {
        const cove::time_point start = cove::now();
        co_await cove::sleep_for(1h);
        CHECK(cove::now() - start >= 1h);
    };
    test::run(body(), os);
    CHECK(interruptions < 0);
}

TEST_CASE("where the kernel gives no poller, no event descriptor or no registration, run throws and leaks nothing") {
    const std::pair<const char*, int> refusals[] = {
        {"create_poller", EMFILE}, {"create_event", ENFILE}, {"control", ENOSPC}, {"wait", EBADF}};
    for (const auto& refusal : refusals) {
        CAPTURE(refusal.first);
        test::test_kernel os;
        os.fault = refuse(refusal.first, -refusal.second);
        std::error_code code;
        auto body = []() -> cove::task<> { co_await cove::sleep_for(1s); };
        try {
            test::run(body(), os);
        } catch (const std::system_error& error) {
            code = error.code();
        }
        CHECK(code == std::error_code(refusal.second, std::generic_category()));
    }
}

TEST_CASE("run inside run stops the process and names the rule") {
    const test::child_end seen = test::in_child([] { return cove::run(runs_inside()); });
    CAPTURE(seen.said);
    CHECK(seen.status == -SIGABRT);
    CHECK(seen.said.find("run() was called inside a running loop") != std::string::npos);
}

TEST_CASE("what needs a loop says so where there is none") {
    const test::child_end seen = test::in_child([] {
        cove::loop::current();
        return 0;
    });
    CAPTURE(seen.said);
    CHECK(seen.status == -SIGABRT);
    CHECK(seen.said.find("this needs a running loop") != std::string::npos);
}

TEST_CASE("a loop refuses to go on in a forked child, and says so") {
    const test::child_end seen = test::in_child([] { return cove::run(goes_on_in_child()); });
    CAPTURE(seen.said);
    CHECK(seen.status == 3);
    CHECK(seen.said.find("a loop cannot go on in a forked child") != std::string::npos);
}

TEST_CASE("loops on one thread may follow one another, and each starts afresh") {
    for (int i = 0; i < 3; ++i) {
        auto body = []() -> cove::task<> {
            CHECK(cove::loop::current().counters().turns < 3);
            co_await cove::sleep_for(1s);
        };
        test::run(body());
    }
}

TEST_CASE("now is the kernel's time inside a loop and the system's outside") {
    test::test_kernel os;
    cove::time_point inside;
    auto body = [&inside]() -> cove::task<> {
        co_await cove::sleep_for(24h);
        inside = cove::now();
    };
    test::run(body(), os);
    CHECK(inside - cove::now() > 23h);
    CHECK(os.now() >= inside);
}

// What a debugger cannot show: who waits for what, on behalf of whom.

#include <cove/runtime/async_stack.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/readiness.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <doctest/doctest.h>
#include <support/child.hpp>
#include <support/test_kernel.hpp>

#include <sys/eventfd.h>
#include <unistd.h>
#include <chrono>
#include <cstddef>
#include <string>

using namespace std::chrono_literals;

namespace {

constexpr int line_of_wait = __LINE__ + 1;
cove::task<> innermost(cove::wait_queue& queue) { co_await queue.wait(); }
constexpr int line_of_call = __LINE__ + 1;
cove::task<> outermost(cove::wait_queue& queue) { co_await innermost(queue); }

cove::task<> reads(int fd) { co_await cove::readable(fd); }
cove::task<> sleeps() { co_await cove::sleep_for(1h); }

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
}

bool contains(const std::string& text, const std::string& part) { return count(text, part) > 0; }

}  // namespace

TEST_CASE("a stack names what is waited for, and each frame with file and line, from the innermost out") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue("a parcel");
        cove::task_group group;
        group.spawn(outermost(queue));
        co_await cove::yield();
        const std::string text = cove::async_stacks();
        CAPTURE(text);
        const std::string inner = "    at async_stack_test.cpp:" + std::to_string(line_of_wait) + " in ";
        const std::string outer = "    at async_stack_test.cpp:" + std::to_string(line_of_call) + " in ";
        CHECK(contains(text, "a parcel\n" + inner));
        CHECK(text.find(inner) < text.find(outer));
        CHECK(contains(text, outer));
        queue.wake_all();
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("each frame of a stack names its function, in an unnamed namespace too") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue("a parcel");
        cove::task_group group;
        group.spawn(outermost(queue));
        co_await cove::yield();
        const std::string text = cove::async_stacks();
        CAPTURE(text);
        CHECK(contains(text, "innermost\n"));
        CHECK(contains(text, "outermost\n"));
        queue.wake_all();
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("every kind of wait says what it is") {
    auto body = []() -> cove::task<> {
        const int event = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        cove::wait_queue queue("a parcel");
        std::string text;
        {
            cove::task_group group;
            group.spawn(outermost(queue));
            group.spawn(reads(event));
            group.spawn(sleeps());
            auto looks = [&]() -> cove::task<> {
                co_await cove::sleep_for(1s);
                text = cove::async_stacks();
                group.cancel();
            };
            group.spawn(looks());
            co_await group.join();
        }
        CAPTURE(text);
        CHECK(contains(text, "a parcel\n"));
        CHECK(contains(text, "readable fd " + std::to_string(event) + "\n"));
        CHECK(contains(text, "sleep, 359"));
        CHECK(contains(text, "join of 4 tasks\n"));
        ::close(event);
    };
    test::run_on_linux(body());
}

TEST_CASE("the stacks of a scope are those of what waits in it and below it") {
    auto body = []() -> cove::task<> {
        cove::wait_queue inside("inside");
        cove::wait_queue outside("outside");
        cove::cancel_scope scope;
        auto waits_inside = [&]() -> cove::task<> { co_await scope.run(cove::timeout(1h, outermost(inside))); };
        cove::task_group group;
        group.spawn(waits_inside());
        group.spawn(outermost(outside));
        co_await cove::yield();
        const std::string text = cove::async_stacks(scope);
        CAPTURE(text);
        CHECK(contains(text, "inside\n"));
        CHECK_FALSE(contains(text, "outside\n"));
        inside.wake_all();
        outside.wake_all();
        co_await group.join();
        CHECK(cove::async_stacks(scope).empty());
    };
    test::run(body());
}

TEST_CASE("a spawned task's stack ends with the place that spawned it") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue("a parcel");
        cove::task_group group;
        group.spawn(innermost(queue));
        co_await cove::yield();
        const std::string text = cove::async_stacks();
        CAPTURE(text);
        const std::string stack = text.substr(text.find("a parcel"));
        CHECK(count(stack.substr(0, stack.find("join of")), "    at ") >= 2);
        queue.wake_all();
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("the stacks can be printed while somebody yields") {
    // In a child, because a sanitizer ends the process where arithmetic overflows.
    const test::child_end seen = test::in_child([] {
        std::string text;
        auto yields = []() -> cove::task<> { co_await cove::yield(); };
        auto body = [&]() -> cove::task<> {
            cove::task_group group;
            group.spawn(yields());
            co_await cove::yield();
            text = cove::async_stacks();
            co_await group.join();
        };
        test::run(body());
        return contains(text, "sleep, 92233") ? 1 : 0;
    });
    CAPTURE(seen.said);
    CHECK(seen.status == 0);
}

// Errors as values: what as_result catches, what it lets pass, and what a result holds.

#include <cove/runtime/result.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <chrono>
#include <coroutine>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

using namespace std::chrono_literals;

namespace {

cove::task<std::unique_ptr<int>> owned(int value) {
    co_await cove::yield();
    co_return std::make_unique<int>(value);
}

cove::task<int> refuses(cove::errc code) {
    co_await cove::yield();
    throw std::system_error(code, "refused");
}

cove::task<> breaks() {
    co_await cove::yield();
    throw std::logic_error("broken");
}

// An awaitable that has its result before it is awaited.
struct ready_at_once {
    bool await_ready() const noexcept { return true; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise>) const noexcept {
        suspended = true;
    }
    int await_resume() const noexcept { return 5; }
    inline static bool suspended = false;
};

}  // namespace

TEST_CASE("a result holds a value or an error") {
    const cove::result<int> value(5);
    CHECK(value);
    CHECK(value.has_value());
    CHECK(*value == 5);
    CHECK_FALSE(value.error());
    CHECK(value.value_or(7) == 5);

    cove::result<std::string> error(std::make_error_code(std::errc::broken_pipe));
    CHECK_FALSE(error);
    CHECK(error.error() == std::errc::broken_pipe);
    CHECK(error.value_or("otherwise") == "otherwise");
    CHECK_THROWS_AS(static_cast<void>(error.value()), std::system_error);

    const cove::result<void> nothing{std::monostate()};
    CHECK(nothing);
}

TEST_CASE("a value that can only be moved is moved out") {
    cove::result<std::unique_ptr<int>> held(std::make_unique<int>(3));
    CHECK(**held == 3);
    const std::unique_ptr<int> taken = std::move(held).value();
    REQUIRE(taken);
    CHECK(*taken == 3);
    cove::result<std::string> text(std::string("text"));
    CHECK(text->size() == 4);
    text.value() += "s";
    CHECK(*text == "texts");
}

TEST_CASE("as_result gives what an operation gives") {
    auto body = []() -> cove::task<> {
        auto given = co_await cove::as_result(owned(5));
        REQUIRE(given);
        CHECK(**given == 5);
        CHECK(co_await cove::as_result(cove::sleep_for(1s)));
    };
    test::run(body());
}

TEST_CASE("as_result turns a system_error into its code") {
    auto body = []() -> cove::task<> {
        const auto refused = co_await cove::as_result(refuses(cove::errc::too_slow));
        CHECK_FALSE(refused);
        CHECK(refused.error() == cove::errc::too_slow);
        const auto late = co_await cove::as_result(cove::timeout(1s, cove::sleep_for(1h)));
        CHECK(late.error() == cove::errc::timed_out);
    };
    test::run(body());
}

TEST_CASE("as_result lets canceled and other exceptions pass") {
    auto body = []() -> cove::task<> {
        CHECK_THROWS_AS(static_cast<void>(co_await cove::as_result(breaks())), std::logic_error);
        cove::cancel_scope scope;
        CHECK_FALSE(co_await cove::move_on_after(1s, cove::as_result(cove::sleep_for(1h))));
        scope.cancel();
        CHECK_FALSE(co_await scope.run(cove::as_result(cove::sleep_for(1h))));
    };
    test::run(body());
}

TEST_CASE("as_result stands inside and outside of limits alike") {
    auto body = []() -> cove::task<> {
        const auto inside = co_await cove::timeout(1h, cove::as_result(refuses(cove::errc::busy)));
        CHECK(inside.error() == cove::errc::busy);
        const auto outside = co_await cove::as_result(cove::timeout(1h, refuses(cove::errc::busy)));
        CHECK(outside.error() == cove::errc::busy);
    };
    test::run(body());
}

TEST_CASE("as_result of an awaitable that is ready does not suspend") {
    auto body = []() -> cove::task<> {
        const auto given = co_await cove::as_result(ready_at_once());
        CHECK(*given == 5);
    };
    ready_at_once::suspended = false;
    try {
        test::run(body());
    } catch (const std::system_error&) {
        // The deadlock that comes of it.
    }
    CHECK_FALSE(ready_at_once::suspended);
}

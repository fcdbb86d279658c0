// Clean-up that has to wait runs to its end whatever way leads out, within its time, and the way out stays what it was.

#include <cove/runtime/finally.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

using namespace std::chrono_literals;

namespace {

cove::task<int> after(cove::duration length, int value) {
    co_await cove::sleep_for(length);
    co_return value;
}

cove::task<int> fails_after(cove::duration length, const char* why) {
    co_await cove::sleep_for(length);
    throw std::runtime_error(why);
}

// Counts itself when it has run to its end.
struct clean_up {
    clean_up(int& counter, cove::duration length) noexcept : done(&counter), needs(length) {}
    cove::task<> operator()() const { return run(*done, needs); }
    static cove::task<> run(int& done, cove::duration needs) {
        co_await cove::sleep_for(needs);
        ++done;
    }
    int* done;
    cove::duration needs;
};

}  // namespace

TEST_CASE("clean-up follows an operation that returns, and the result is the operation's") {
    auto body = []() -> cove::task<> {
        int done = 0;
        const cove::time_point start = cove::now();
        CHECK(co_await cove::finally(after(1min, 5), 1h, clean_up(done, 10min)) == 5);
        CHECK(done == 1);
        CHECK(cove::now() - start >= 11min);
        CHECK(cove::now() - start < 12min);
        co_await cove::finally(cove::sleep_for(1s), 1h, clean_up(done, 1min));
        CHECK(done == 2);
        auto owns = []() -> cove::task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
        const auto owned = co_await cove::finally(owns(), 1h, clean_up(done, 1min));
        REQUIRE(owned);
        CHECK(*owned == 7);
        CHECK(done == 3);
    };
    test::run(body());
}

TEST_CASE("clean-up begins only once the operation has ended") {
    auto body = []() -> cove::task<> {
        std::string order;
        auto operation = [&order]() -> cove::task<> {
            co_await cove::sleep_for(1s);
            order += "operation ";
        };
        auto cleans_up = [&order] {
            order += "made ";
            return cove::sleep_for(1s);
        };
        co_await cove::finally(operation(), 1h, cleans_up);
        CHECK(order == "operation made ");
    };
    test::run(body());
}

TEST_CASE("clean-up follows an operation that throws, and its exception goes on") {
    auto body = []() -> cove::task<> {
        int done = 0;
        CHECK_THROWS_WITH(co_await cove::finally(fails_after(1s, "its own"), 1h, clean_up(done, 1min)), "its own");
        CHECK(done == 1);
    };
    test::run(body());
}

TEST_CASE("clean-up follows an operation that is canceled, out of reach of that and of every further cancellation") {
    auto body = []() -> cove::task<> {
        int done = 0;
        const cove::time_point start = cove::now();
        CHECK_FALSE(co_await cove::move_on_after(1min, cove::finally(after(1h, 5), 1h, clean_up(done, 10min))));
        CHECK(done == 1);
        CHECK(cove::now() - start >= 11min);
        CHECK(cove::now() - start < 12min);

        cove::cancel_scope inner;
        auto inside = [&]() -> cove::task<> {
            co_await inner.run(cove::finally(after(1h, 5), 1h, clean_up(done, 10min)));
            co_await cove::yield();
            FAIL("the outer scope is canceled");
        };
        auto cancels = [&]() -> cove::task<> {
            co_await cove::sleep_for(1min);
            inner.cancel();
        };
        cove::task_group group;
        group.spawn(cancels);
        // The outer one ends while the clean-up is going on.
        CHECK_FALSE(co_await cove::move_on_after(5min, inside()));
        CHECK(done == 2);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("in a scope that was canceled before, the operation does nothing and clean-up runs") {
    auto body = []() -> cove::task<> {
        int done = 0;
        cove::cancel_scope scope;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(cove::finally(cove::sleep_for(1h), 1h, clean_up(done, 1min))));
        CHECK(done == 1);
    };
    test::run(body());
}

TEST_CASE("a result that was there before the cancellation is returned after the clean-up") {
    auto body = []() -> cove::task<> {
        int done = 0;
        const auto kept = co_await cove::move_on_after(1min, cove::finally(after(1s, 5), 1h, clean_up(done, 10min)));
        CHECK(kept == std::optional<int>(5));
        CHECK(done == 1);
    };
    test::run(body());
}

TEST_CASE("clean-up that exceeds its limit is cut off, and the end is the operation's all the same") {
    auto body = []() -> cove::task<> {
        int done = 0;
        const cove::time_point start = cove::now();
        CHECK(co_await cove::finally(after(1s, 5), 1min, clean_up(done, 1h)) == 5);
        CHECK_THROWS_WITH(co_await cove::finally(fails_after(1s, "its own"), 1min, clean_up(done, 1h)), "its own");
        CHECK_FALSE(co_await cove::move_on_after(1s, cove::finally(after(1h, 5), 1min, clean_up(done, 1h))));
        CHECK(done == 0);
        CHECK(cove::now() - start >= 3min);
        CHECK(cove::now() - start < 4min);
        // With no time at all, what needs none is still done.
        CHECK(co_await cove::finally(after(1s, 5), 0s, clean_up(done, 1h)) == 5);
        bool cleaned = false;
        auto at_once = [&cleaned]() -> cove::task<> {
            cleaned = true;
            co_return;
        };
        CHECK(co_await cove::finally(after(1s, 5), 0s, at_once) == 5);
        CHECK(cleaned);
    };
    test::run(body());
}

TEST_CASE("what clean-up throws counts where the operation has not thrown") {
    auto body = []() -> cove::task<> {
        auto fails = [] { return fails_after(1s, "of the clean-up"); };
        CHECK_THROWS_WITH(co_await cove::finally(after(1s, 5), 1h, fails), "of the clean-up");
        CHECK_THROWS_WITH(co_await cove::finally(fails_after(1s, "its own"), 1h, fails), "its own");
        CHECK_FALSE(co_await cove::move_on_after(1min, cove::finally(after(1h, 5), 1h, fails)));
        auto refuses = []() -> cove::task<> { throw std::runtime_error("no task at all"); };
        CHECK_THROWS_WITH(co_await cove::finally(after(1s, 5), 1h, refuses), "no task at all");
        CHECK_THROWS_WITH(co_await cove::finally(fails_after(1s, "its own"), 1h, refuses), "its own");
    };
    test::run(body());
}

TEST_CASE("clean-up that ends itself by `canceled` does not hide the result") {
    auto body = []() -> cove::task<> {
        bool reached = false;
        auto in_a_scope = [&reached]() -> cove::task<> {
            cove::cancel_scope own;
            own.cancel();
            co_await own.run(cove::sleep_for(1h));
            reached = true;
        };
        CHECK(co_await cove::finally(after(1s, 5), 1h, in_a_scope) == 5);
        CHECK(reached);
    };
    test::run(body());
}

TEST_CASE("clean-ups inside one another run from the inside out, each in its own time") {
    auto body = []() -> cove::task<> {
        std::string order;
        auto says = [&order](const char* what) {
            return [&order, what]() -> cove::task<> {
                const char* said = what;
                std::string& all = order;
                co_await cove::sleep_for(10min);
                all += said;
            };
        };
        auto inner = says("inner ");
        auto outer = says("outer");
        CHECK_FALSE(
            co_await cove::move_on_after(1min, cove::finally(cove::finally(after(1h, 5), 1h, inner), 1h, outer)));
        CHECK(order == "inner outer");
    };
    test::run(body());
}

TEST_CASE("what clean-up owns lives until it has ended, and no longer") {
    const auto owned = std::make_shared<int>(0);
    auto body = [&owned]() -> cove::task<> {
        auto held = owned;
        auto cleans_up = [held = std::move(held)]() -> cove::task<> {
            co_await cove::sleep_for(1min);
            ++*held;
        };
        co_await cove::finally(cove::sleep_for(1s), 1h, std::move(cleans_up));
        CHECK(*owned == 1);
        CHECK(owned.use_count() == 1);
    };
    test::run(body());
    CHECK(owned.use_count() == 1);
}

TEST_CASE("a frame that is destroyed during the operation or during clean-up is gone, and nothing fires later") {
    auto body = []() -> cove::task<> {
        int done = 0;
        for (const cove::duration when : {1min, 120min}) {
            cove::task_group group;
            group.spawn(cove::finally(after(1h, 5), 24h, clean_up(done, 10h)));
            co_await cove::sleep_for(when);
            CHECK(group.size() == 1);
        }
        co_await cove::sleep_for(48h);
        CHECK(done == 0);
    };
    test::run(body());
}

TEST_CASE("a stack shows why a clean-up is going on") {
    auto body = []() -> cove::task<> {
        int done = 0;
        cove::task_group group;
        const int line = __LINE__ + 2;
        auto limited = [&done]() -> cove::task<> {
            co_await cove::move_on_after(1min, cove::finally(after(1h, 5), 1h, clean_up(done, 10min)));
        };
        group.spawn(limited);
        co_await cove::sleep_for(5min);
        const std::string text = cove::async_stacks();
        CAPTURE(text);
        const std::string why = "canceled by move_on_after(60s) at finally_test.cpp:" + std::to_string(line) + "\n";
        CHECK(text.find(why) != std::string::npos);
        co_await group.join();
        CHECK(done == 1);
    };
    test::run(body());
}

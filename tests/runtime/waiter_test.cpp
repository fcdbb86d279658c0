// The contract of an operation of one's own: who may end it, when it is too late, and who unlinks it.

#include <cove/runtime/waiter.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <coroutine>
#include <string>

namespace {

// An operation that its test plays by hand.
struct source;
class operation final : public cove::waiter {
public:
    explicit operation(source& from) noexcept : source_(&from) {}
    operation(const operation&) noexcept = default;
    ~operation();
    bool await_ready() const noexcept { return false; }
    template <cove::detail::cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return start(awaiting.promise());
    }
    bool await_resume() const {
        throw_if_canceled();
        return true;
    }
    std::string describe() const override { return "source"; }
    using cove::waiter::waiting;
    using cove::waiter::was_canceled;

private:
    bool start(cove::detail::promise_base& frame) noexcept;
    bool attempt() noexcept override;
    bool withdraw() noexcept override;
    source* source_;
};

struct source {
    operation* waiting = nullptr;
    bool condition = true;     // what attempt() looks at
    bool withdrawable = true;  // whether a cancellation is obeyed
    int attempts = 0;
    int withdrawals = 0;
};

operation::~operation() {
    if (source_->waiting == this) source_->waiting = nullptr;
}

bool operation::start(cove::detail::promise_base& frame) noexcept {
    if (!may_wait(frame)) return false;
    suspend(frame);
    source_->waiting = this;
    return true;
}

bool operation::attempt() noexcept {
    ++source_->attempts;
    if (!source_->condition) return false;
    source_->waiting = nullptr;
    return true;
}

bool operation::withdraw() noexcept {
    ++source_->withdrawals;
    if (source_->withdrawable) source_->waiting = nullptr;
    return source_->withdrawable;
}

cove::task<> waits_for(source& from, int& ended) {
    co_await operation(from);
    ++ended;
}

}  // namespace

TEST_CASE("finish ends the wait when its turn comes, without an attempt") {
    auto body = []() -> cove::task<> {
        source from;
        int ended = 0;
        cove::task_group group;
        group.spawn(waits_for(from, ended));
        co_await cove::yield();
        REQUIRE(from.waiting != nullptr);
        CHECK(from.waiting->frame() != nullptr);
        CHECK(from.waiting->waiting());
        from.waiting->finish();
        CHECK(ended == 0);
        co_await group.join();
        CHECK(ended == 1);
        CHECK(from.attempts == 0);
        CHECK(from.waiting == nullptr);  // the operation's destructor has run
    };
    test::run(body());
}

TEST_CASE("wake has the operation look again, as often as it takes") {
    auto body = []() -> cove::task<> {
        source from;
        from.condition = false;
        int ended = 0;
        cove::task_group group;
        group.spawn(waits_for(from, ended));
        co_await cove::yield();
        for (int i = 1; i <= 3; ++i) {
            from.waiting->wake();
            from.waiting->wake();  // twice in one turn is once
            co_await cove::yield();
            CHECK(from.attempts == i);
            CHECK(ended == 0);
        }
        from.condition = true;
        from.waiting->wake();
        co_await group.join();
        CHECK(from.attempts == 4);
        CHECK(ended == 1);
    };
    test::run(body());
}

TEST_CASE("a cancellation after finish is too late, one between wake and its turn is not") {
    auto body = []() -> cove::task<> {
        source from;
        int ended = 0;
        cove::task_group finished;
        finished.spawn(waits_for(from, ended));
        co_await cove::yield();
        from.waiting->finish();
        finished.cancel();
        co_await finished.join();
        CHECK(ended == 1);
        CHECK(from.withdrawals == 0);

        cove::task_group woken;
        woken.spawn(waits_for(from, ended));
        co_await cove::yield();
        from.waiting->wake();
        woken.cancel();
        co_await woken.join();
        CHECK(ended == 1);
        CHECK(from.withdrawals == 1);
        CHECK(from.attempts == 0);
    };
    test::run(body());
}

TEST_CASE("a cancellation that comes twice withdraws once") {
    auto body = []() -> cove::task<> {
        source from;
        int ended = 0;
        cove::cancel_scope scope;
        auto waits_inside = [&]() -> cove::task<> { co_await scope.run(waits_for(from, ended)); };
        cove::task_group group;
        group.spawn(waits_inside());
        co_await cove::yield();
        scope.cancel();
        group.cancel();
        scope.cancel();
        co_await group.join();
        CHECK(from.withdrawals == 1);
        CHECK(ended == 0);
    };
    test::run(body());
}

TEST_CASE("an operation that cannot be withdrawn goes on waiting, and ends with its result") {
    auto body = []() -> cove::task<> {
        source from;
        from.withdrawable = false;
        int ended = 0;
        cove::task_group group;
        group.spawn(waits_for(from, ended));
        co_await cove::yield();
        group.cancel();
        co_await cove::yield();
        co_await cove::yield();
        CHECK(ended == 0);
        REQUIRE(from.waiting != nullptr);
        from.waiting->finish();
        co_await group.join();
        CHECK(ended == 1);
    };
    test::run(body());
}

TEST_CASE("an operation in a canceled scope neither begins nor suspends") {
    auto body = []() -> cove::task<> {
        source from;
        cove::cancel_scope scope;
        scope.cancel();
        const auto turns = cove::loop::current().counters().turns;
        CHECK_FALSE(co_await scope.run(operation(from)));
        CHECK(cove::loop::current().counters().turns == turns);
        CHECK(from.waiting == nullptr);
        CHECK(from.withdrawals == 0);
    };
    test::run(body());
}

TEST_CASE("a frame that is destroyed takes its operation out of the ready queue and of its scope") {
    auto body = []() -> cove::task<> {
        source from;
        int ended = 0;
        for (const bool woken : {false, true}) {
            {
                cove::task_group group;
                group.spawn(waits_for(from, ended));
                co_await cove::yield();
                if (woken) from.waiting->wake();
            }
            CHECK(from.waiting == nullptr);
            co_await cove::yield();
        }
        CHECK(ended == 0);
        CHECK(from.attempts == 0);
        int waiters = 0;
        cove::loop::current().root_scope().for_each_waiter([&waiters](const cove::waiter&) { ++waiters; });
        CHECK(waiters == 0);
    };
    test::run(body());
}

TEST_CASE("a copy of a waiting operation is one that has not begun") {
    auto body = []() -> cove::task<> {
        source from;
        int ended = 0;
        cove::task_group group;
        group.spawn(waits_for(from, ended));
        co_await cove::yield();
        operation* original = from.waiting;
        {
            const operation copy(*original);
            CHECK(copy.frame() == nullptr);
            CHECK_FALSE(copy.waiting());
            CHECK_FALSE(copy.was_canceled());
        }
        CHECK(from.waiting == original);
        original->finish();
        co_await group.join();
        CHECK(ended == 1);
    };
    test::run(body());
}

// One probe for each shape of co_await expression that cove's interface and documentation rely on. g++ 12 destroys some
// temporaries of a co_await expression twice; these shapes are the ones that are clean on every supported compiler, and
// a compiler on which one of them is not must not go unnoticed.

#include <cove/runtime/task.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/when_all.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <chrono>
#include <coroutine>
#include <string>
#include <tuple>
#include <utility>

using namespace std::chrono_literals;

namespace {

// Counts its constructions less its destructions, and owns memory, so that a sanitizer sees what the count does not.
class counted {
public:
    explicit counted(long& live) : live_(&live), text_(100, 'x') { ++*live_; }
    counted(const counted& other) : live_(other.live_), text_(other.text_) { ++*live_; }
    counted(counted&& other) noexcept : live_(other.live_), text_(std::move(other.text_)) { ++*live_; }
    counted& operator=(const counted&) = delete;
    ~counted() { --*live_; }

    bool whole() const { return text_.size() == 100; }

private:
    long* live_;
    std::string text_;
};

// What options types look like: a class with a constructor that the user declared.
struct options {
    options() noexcept {}
    int size = 1;
    std::string name = "a name that is too long for the small string buffer";
};

// An operation of one's own, with something in it that must be destroyed once.
class operation final : public cove::waiter {
public:
    explicit operation(long& live) : content_(live) {}
    bool await_ready() const noexcept { return false; }
    template <cove::detail::cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        if (!may_wait(awaiting.promise())) return false;
        suspend(awaiting.promise());
        finish();
        return true;
    }
    counted await_resume() {
        throw_if_canceled();
        return content_;
    }
    std::string describe() const override { return "probe"; }

private:
    bool withdraw() noexcept override { return true; }
    counted content_;
};

cove::task<bool> takes_value(counted value) {
    co_await cove::yield();
    co_return value.whole();
}

cove::task<bool> takes_reference(const counted& value) {
    co_await cove::yield();
    co_return value.whole();
}

cove::task<bool> takes_options(options given) {
    co_await cove::yield();
    co_return given.size == 1 && given.name.size() > 20;
}

cove::task<counted> gives(long& live) {
    co_await cove::yield();
    co_return counted(live);
}

template <class Callable>
cove::task<bool> calls(Callable callable) {
    co_await cove::yield();
    co_return callable();
}

// Runs a probe, and has the count back at zero both after it and where its frame is destroyed half way.
template <class Probe>
void check(Probe probe) {
    long live = 0;
    bool clean = false;
    auto whole = [&]() -> cove::task<> { clean = co_await probe(live); };
    test::run(whole());
    CHECK(clean);
    CHECK(live == 0);

    auto half = [&]() -> cove::task<> {
        cove::task_group group;
        auto runs = [&]() -> cove::task<> { clean = co_await probe(live); };
        group.spawn(runs());
        co_await cove::yield();
    };
    test::run(half());
    CHECK(live == 0);
}

}  // namespace

TEST_CASE("a prvalue of a class with a declared constructor is passed by value and destroyed once") {
    check([](long& live) -> cove::task<bool> { co_return co_await takes_value(counted(live)); });
}

TEST_CASE("a prvalue that is bound to a reference parameter lives until the await is over, and is destroyed once") {
    check([](long& live) -> cove::task<bool> { co_return co_await takes_reference(counted(live)); });
}

TEST_CASE("a named object is moved into an awaited call and destroyed once") {
    check([](long& live) -> cove::task<bool> {
        counted named(live);
        co_return co_await takes_value(std::move(named));
    });
}

TEST_CASE("options with a declared constructor are passed as a default, as a prvalue and by name") {
    check([](long&) -> cove::task<bool> {
        options named;
        const bool first = co_await takes_options(named);
        const bool second = co_await takes_options(options());
        co_return first&& second;
    });
}

TEST_CASE("an operation is awaited as a prvalue and by name, and destroyed once") {
    check([](long& live) -> cove::task<bool> {
        const counted first = co_await operation(live);
        operation named(live);
        const counted second = co_await named;
        co_return first.whole() && second.whole();
    });
}

TEST_CASE("a result with a destructor is destroyed once, used or not") {
    check([](long& live) -> cove::task<bool> {
        co_await gives(live);
        const counted kept = co_await gives(live);
        const bool in_place = (co_await gives(live)).whole();
        co_return kept.whole() && in_place;
    });
}

TEST_CASE("operations around operations are destroyed once") {
    check([](long& live) -> cove::task<bool> {
        const counted limited = co_await cove::timeout(1h, operation(live));
        const auto optional = co_await cove::move_on_after(1h, cove::shield(operation(live)));
        const auto as_result = co_await cove::as_result(cove::timeout(1h, gives(live)));
        cove::cancel_scope scope;
        const auto in_scope = co_await scope.run(gives(live));
        co_return limited.whole() && optional->whole() && as_result->whole() && in_scope->whole();
    });
}

TEST_CASE("tasks are combined as prvalues, and their results destroyed once") {
    check([](long& live) -> cove::task<bool> {
        const auto both = co_await cove::when_all(gives(live), takes_value(counted(live)));
        co_return std::get<0>(both).whole() && std::get<1>(both);
    });
}

TEST_CASE("a lambda that captures by reference only is passed inside the awaited expression") {
    check([](long& live) -> cove::task<bool> {
        const counted local(live);
        co_return co_await calls([&local] { return local.whole(); });
    });
}

TEST_CASE("a lambda that captures by value is passed by name, or to a task that is awaited by name") {
    check([](long& live) -> cove::task<bool> {
        const counted local(live);
        auto named = [local] { return local.whole(); };
        const bool first = co_await calls(std::move(named));
        auto made = calls([local] { return local.whole(); });
        const bool second = co_await made;
        co_return first&& second;
    });
}

TEST_CASE("a coroutine lambda that captures by value is given to a task_group, which destroys it once") {
    check([](long& live) -> cove::task<bool> {
        bool clean = false;
        cove::task_group group;
        {
            const counted local(live);
            group.spawn([local, &clean]() -> cove::task<> {
                co_await cove::yield();
                clean = local.whole();
            });
        }
        co_await group.join();
        co_return clean;
    });
}

TEST_CASE("an exception inside the awaited expression destroys its temporaries once") {
    check([](long& live) -> cove::task<bool> {
        auto throws = [](counted value) -> cove::task<> {
            co_await cove::yield();
            throw static_cast<int>(value.whole());
        };
        bool caught = false;
        try {
            co_await throws(counted(live));
        } catch (int) {
            caught = true;
        }
        co_return caught;
    });
}

TEST_CASE("an await in a condition goes on, in a coroutine that has a variable") {
    // Without one, g++ 12 never resumes it: no library can help that, and the documentation says so.
    auto body = []() -> cove::task<> {
        const auto yes = []() -> cove::task<bool> {
            co_await cove::yield();
            co_return true;
        };
        const auto in_if = [](auto& asked) -> cove::task<int> {
            const int seen = 1;
            if (co_await asked()) co_return seen;
            co_return 0;
        };
        const auto in_while = [](auto& asked) -> cove::task<int> {
            int rounds = 0;
            while (co_await asked())
                if (++rounds == 3) break;
            co_return rounds;
        };
        CHECK(co_await in_if(yes) == 1);
        CHECK(co_await in_while(yes) == 3);
    };
    test::run(body());
}

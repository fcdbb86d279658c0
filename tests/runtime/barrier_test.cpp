// Nobody goes on before all have arrived; who leaves has not arrived; and a round knows nothing of the next.

#include <cove/runtime/barrier.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/event.hpp>
#include <cove/runtime/select.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/test_kernel.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::task<> meets(cove::barrier& place, std::vector<int>& order, int name) {
    const bool was_last = co_await place.arrive_and_wait();
    order.push_back(was_last ? -name : name);
}

}  // namespace

TEST_CASE("nobody goes on before all have arrived; then the last does, and the others in order") {
    auto body = []() -> cove::task<> {
        cove::barrier place(3);
        std::vector<int> order;
        cove::task_group group;
        group.spawn(meets(place, order, 1));
        group.spawn(meets(place, order, 2));
        co_await cove::sleep_for(1h);
        CHECK(place.arrived() == 2);
        CHECK(order.empty());
        group.spawn(meets(place, order, 3));
        co_await group.join();
        CHECK(order == std::vector<int>{-3, 1, 2});
        CHECK(place.arrived() == 0);
    };
    test::run(body());
}

TEST_CASE("each of many rounds has all parties once, and one that was last") {
    auto body = []() -> cove::task<> {
        constexpr int parties = 5;
        constexpr int rounds = 200;
        cove::barrier place(parties);
        std::vector<int> arrived(rounds);
        std::vector<int> last(rounds);
        bool met_all = true;
        auto goes_round = [&](int name) -> cove::task<> {
            for (int round = 0; round < rounds; ++round) {
                if ((round + name) % 3 == 0) co_await cove::yield();
                ++arrived[static_cast<unsigned>(round)];
                if (co_await place.arrive_and_wait()) ++last[static_cast<unsigned>(round)];
                met_all = met_all && arrived[static_cast<unsigned>(round)] == parties;
            }
        };
        cove::task_group group;
        for (int name = 0; name < parties; ++name) group.spawn(goes_round(name));
        co_await group.join();
        CHECK(met_all);
        CHECK(last == std::vector<int>(rounds, 1));
        CHECK(place.arrived() == 0);
    };
    test::run(body());
}

TEST_CASE("who arrives for the next round before the others went on waits for that one") {
    auto body = []() -> cove::task<> {
        cove::barrier place(2);
        std::vector<int> order;
        auto meets_twice = [&]() -> cove::task<> {
            co_await meets(place, order, 1);
            co_await meets(place, order, 1);
        };
        cove::task_group group;
        group.spawn(meets(place, order, 2));
        group.spawn(meets_twice());
        co_await cove::sleep_for(1h);
        CHECK(order == std::vector<int>{-1, 2});
        CHECK(place.arrived() == 1);
        group.spawn(meets(place, order, 3));
        co_await group.join();
        CHECK(order == std::vector<int>{-1, 2, -3, 1});
    };
    test::run(body());
}

TEST_CASE("a barrier for one, or for none, holds nobody") {
    auto body = []() -> cove::task<> {
        cove::barrier one(1);
        cove::barrier none(0);
        CHECK(co_await one.arrive_and_wait());
        CHECK(co_await one.arrive_and_wait());
        CHECK(co_await none.arrive_and_wait());
        CHECK(one.arrived() == 0);
    };
    test::run(body());
}

TEST_CASE("a canceled arrival is taken back") {
    auto body = []() -> cove::task<> {
        cove::barrier place(3);
        std::vector<int> order;
        cove::task_group group;
        group.spawn(meets(place, order, 1));
        CHECK_FALSE(co_await cove::move_on_after(1s, place.arrive_and_wait()));
        CHECK(place.arrived() == 1);
        group.spawn(meets(place, order, 2));
        co_await cove::sleep_for(1h);
        CHECK(order.empty());
        group.spawn(meets(place, order, 3));
        co_await group.join();
        CHECK(order == std::vector<int>{-3, 1, 2});
    };
    test::run(body());
}

TEST_CASE("an arrival that is canceled in the turn of the last one's does not count") {
    auto body = []() -> cove::task<> {
        cove::barrier place(2);
        std::vector<int> order;
        cove::cancel_scope scope;
        auto in_scope = [&]() -> cove::task<> { CHECK_FALSE(co_await scope.run(place.arrive_and_wait())); };
        cove::task_group group;
        group.spawn(in_scope());
        co_await cove::yield();
        scope.cancel();
        CHECK(place.arrived() == 0);
        CHECK_FALSE(co_await cove::move_on_after(1s, place.arrive_and_wait()));
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("once the last has arrived it is too late to cancel") {
    auto body = []() -> cove::task<> {
        cove::barrier place(2);
        std::vector<int> order;
        cove::task_group group;
        group.spawn(meets(place, order, 1));
        co_await cove::yield();
        CHECK(co_await place.arrive_and_wait());
        group.cancel();
        CHECK(place.arrived() == 0);
        co_await group.join();
        CHECK(order == std::vector<int>{1});
    };
    test::run(body());
}

TEST_CASE("in a canceled scope nobody arrives, not even as the last") {
    auto body = []() -> cove::task<> {
        cove::barrier place(2);
        std::vector<int> order;
        cove::task_group group;
        group.spawn(meets(place, order, 1));
        co_await cove::yield();
        cove::cancel_scope scope;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(place.arrive_and_wait()));
        CHECK(place.arrived() == 1);
        CHECK(co_await place.arrive_and_wait());
        co_await group.join();
        CHECK(order == std::vector<int>{1});
    };
    test::run(body());
}

TEST_CASE("the arrival of a frame that is destroyed is taken back, unless the round is complete") {
    auto body = []() -> cove::task<> {
        cove::barrier place(3);
        std::vector<int> order;
        {
            cove::task_group dropped;
            dropped.spawn(meets(place, order, 1));
            dropped.spawn(meets(place, order, 2));
            co_await cove::yield();
            CHECK(place.arrived() == 2);
        }
        CHECK(place.arrived() == 0);
        {
            cove::task_group dropped;
            dropped.spawn(meets(place, order, 1));
            dropped.spawn(meets(place, order, 2));
            co_await cove::yield();
            CHECK(co_await place.arrive_and_wait());
        }
        CHECK(place.arrived() == 0);
        co_await cove::sleep_for(1s);
        CHECK(order.empty());
    };
    test::run(body());
}

TEST_CASE("an arrival that waits for its turn is counted when it has come, and can be canceled before") {
    auto body = []() -> cove::task<> {
        for (int before = 0; before <= 40; ++before) {
            CAPTURE(before);
            cove::event open(true);
            cove::barrier place(2);
            cove::cancel_scope scope;
            bool arrives = false;
            bool is_through = true;
            auto spends = [&]() -> cove::task<> {
                for (int i = 0; i < before; ++i) co_await open.wait();
                arrives = true;
                const std::optional<bool> result = co_await scope.run(place.arrive_and_wait());
                is_through = result.has_value();
            };
            cove::task_group group;
            group.spawn(spends());
            while (!arrives) co_await cove::yield();
            scope.cancel();
            co_await group.join();
            CHECK_FALSE(is_through);
            CHECK(place.arrived() == 0);
        }
    };
    test::run(body());
}

TEST_CASE("a barrier cannot be selected: the others may have gone on with an arrival that lost") {
    CHECK_FALSE(cove::detail::selectable<cove::barrier::operation>);
    CHECK(cove::detail::selectable<cove::event::operation>);
}

TEST_CASE("a coroutine that is always the last lets the others have their turns") {
    auto body = []() -> cove::task<> {
        cove::barrier place(1);
        bool had_turn = false;
        int met = 0;
        auto never_suspends = [&]() -> cove::task<> {
            for (; !had_turn && met < 10'000; ++met) co_await place.arrive_and_wait();
        };
        auto other = [&]() -> cove::task<> {
            had_turn = true;
            co_return;
        };
        cove::task_group group;
        group.spawn(never_suspends());
        group.spawn(other());
        co_await group.join();
        CHECK(met > 1);
        CHECK(met <= 64);
    };
    test::run(body());
}

TEST_CASE("meeting allocates nothing" * doctest::skip(!test::counts_allocations)) {
    auto body = []() -> cove::task<> {
        cove::barrier place(2);
        auto meets_often = [&]() -> cove::task<> {
            for (int i = 0; i < 200; ++i) co_await place.arrive_and_wait();
        };
        cove::task_group group;
        group.spawn(meets_often());
        long start = 0;
        for (int i = 0; i < 200; ++i) {
            if (i == 100) start = test::allocations();
            co_await place.arrive_and_wait();
        }
        CHECK(test::allocations() == start);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a stack says how many have arrived at a barrier") {
    auto body = []() -> cove::task<> {
        cove::barrier place(3);
        std::vector<int> order;
        cove::task_group group;
        group.spawn(meets(place, order, 1));
        group.spawn(meets(place, order, 2));
        co_await cove::yield();
        CHECK(cove::async_stacks().find("barrier, 2 of 3\n    at barrier_test.cpp:") != std::string::npos);
        co_await place.arrive_and_wait();
        co_await group.join();
    };
    test::run(body());
}

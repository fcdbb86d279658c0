// The one thread-safe entry: nothing posted is lost, overtaken or run twice, and no wake-up is missed.

#include <cove/runtime/loop_handle.hpp>

#include <cove/runtime/loop.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>
#include <support/threads.hpp>

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace {

cove::run_options plain() {
    cove::run_options options;
    options.stop_on_signals = false;
    return options;
}

template <class T>
auto run_here(cove::task<T> main) {
    return cove::run(std::move(main), plain());
}

// A loop's answer to the question of another thread: one word that both spin and sleep on.
struct baton {
    std::atomic<int> turn{0};
    void pass(int next) {
        turn.store(next);
        turn.notify_all();
    }
    void await(int mine) const {
        for (int seen = turn.load(); seen != mine; seen = turn.load()) turn.wait(seen);
    }
};

}  // namespace

TEST_CASE("what four threads post is all run, on the loop's thread, and in each thread's order") {
    static constexpr int threads = 4;
    static constexpr int posts = 100'000 / test::scale;
    struct receiver {
        int next[threads] = {};
        int arrived = 0;
        bool in_order = true;
        bool on_loop = true;
        cove::wait_queue done;
    };
    auto body = []() -> cove::task<> {
        receiver here;
        const auto loop_thread = std::this_thread::get_id();
        std::vector<std::thread> senders;
        for (int sender = 0; sender < threads; ++sender) {
            senders.emplace_back([&here, sender, loop_thread, handle = cove::loop_handle::current()] {
                for (int i = 0; i < posts; ++i) {
                    const bool taken = handle.post([&here, sender, i, loop_thread] {
                        here.on_loop = here.on_loop && std::this_thread::get_id() == loop_thread;
                        here.in_order = here.in_order && here.next[sender] == i;
                        here.next[sender] = i + 1;
                        if (++here.arrived == threads * posts) here.done.wake_all();
                    });
                    if (!taken) std::terminate();
                }
            });
        }
        while (here.arrived < threads * posts) co_await here.done.wait();
        for (std::thread& each : senders) each.join();
        CHECK(here.in_order);
        CHECK(here.on_loop);
    };
    run_here(body());
}

TEST_CASE("no wake-up is lost between a loop that falls asleep and a thread that posts") {
    static constexpr int rounds = 100'000 / test::scale;
    auto body = []() -> cove::task<> {
        baton turn;
        cove::wait_queue posted;
        int count = 0;
        std::thread other([&, handle = cove::loop_handle::current()] {
            for (int i = 0; i < rounds; ++i) {
                turn.await(1);
                turn.pass(0);
                handle.post([&] {
                    ++count;
                    posted.wake_all();
                });
            }
        });
        for (int i = 0; i < rounds; ++i) {
            turn.pass(1);
            while (count <= i) co_await posted.wait();
        }
        other.join();
        CHECK(count == rounds);
    };
    run_here(body());
}

TEST_CASE("a function may be posted from the loop's own thread, and may post another") {
    auto body = []() -> cove::task<> {
        const auto handle = cove::loop_handle::current();
        cove::wait_queue done;
        std::vector<int> order;
        handle.post([&, handle] {
            order.push_back(1);
            handle.post([&] {
                order.push_back(3);
                done.wake_all();
            });
            order.push_back(2);
        });
        CHECK(order.empty());  // post runs nothing itself
        while (order.size() < 3) co_await done.wait();
        CHECK(order == std::vector<int>{1, 2, 3});
    };
    run_here(body());
}

TEST_CASE("a function that can only be moved is posted, and destroyed once it has run") {
    auto body = []() -> cove::task<> {
        auto counted = std::make_shared<int>(0);
        auto owned = std::make_unique<std::shared_ptr<int>>(counted);
        const auto handle = cove::loop_handle::current();
        cove::wait_queue done;
        auto function = [&done, kept = std::move(owned)] {
            ++**kept;
            done.wake_all();
        };
        CHECK(handle.post(std::move(function)));
        co_await done.wait();
        CHECK(*counted == 1);
        CHECK(counted.use_count() == 1);
    };
    run_here(body());
}

TEST_CASE("after the loop has ended post says so, and destroys the function on the caller's thread") {
    std::optional<cove::loop_handle> late;
    auto body = [&late]() -> cove::task<> {
        late = cove::loop_handle::current();
        co_return;
    };
    run_here(body());
    auto counted = std::make_shared<int>(0);
    const std::thread::id caller = std::this_thread::get_id();
    struct tells_thread {
        explicit tells_thread(std::thread::id& at) : destroyed_on(&at) {}
        tells_thread(tells_thread&& other) noexcept : destroyed_on(std::exchange(other.destroyed_on, nullptr)) {}
        ~tells_thread() {
            if (destroyed_on != nullptr) *destroyed_on = std::this_thread::get_id();
        }
        std::thread::id* destroyed_on;
    };
    std::thread::id destroyed_on;
    auto function = [counted, teller = tells_thread(destroyed_on)] { ++*counted; };
    CHECK_FALSE(late->post(std::move(function)));
    CHECK(*counted == 0);
    CHECK(destroyed_on == caller);
    const cove::loop_handle copy = *late;
    CHECK_FALSE(copy.post([] {}));
    late.reset();
}

TEST_CASE("what was posted and not run when the loop ends is destroyed unrun") {
    auto counted = std::make_shared<int>(0);
    auto body = [&counted]() -> cove::task<> {
        const auto handle = cove::loop_handle::current();
        auto function = [counted] { ++*counted; };
        handle.post(function);
        handle.post(function);
        co_return;
    };
    run_here(body());
    CHECK(*counted == 0);
    CHECK(counted.use_count() == 1);
}

TEST_CASE("a handle that somebody holds keeps the loop waiting, and its release brings the deadlock to light") {
    auto body = []() -> cove::task<> {
        baton asleep;
        cove::wait_queue nobody;
        std::thread other([&asleep, handle = std::optional(cove::loop_handle::current())]() mutable {
            asleep.await(1);
            // The copy and the original both count.
            std::optional<cove::loop_handle> copy = handle;
            handle.reset();
            copy.reset();
        });
        struct joins {
            std::thread& thread;
            ~joins() { thread.join(); }
        } const joiner{other};
        asleep.pass(1);
        co_await nobody.wait();
    };
    CHECK_THROWS_AS(run_here(body()), cove::deadlock_error);
}

TEST_CASE("posts that race with the end of the loop are run or destroyed, never lost") {
    for (int round = 0; round < 300 / test::scale; ++round) {
        std::atomic<int> destroyed{0};
        std::atomic<int> made{0};
        struct counted {
            explicit counted(std::atomic<int>& d) : destroyed(&d) {}
            counted(counted&& other) noexcept : destroyed(std::exchange(other.destroyed, nullptr)) {}
            ~counted() {
                if (destroyed != nullptr) destroyed->fetch_add(1);
            }
            std::atomic<int>* destroyed;
        };
        std::thread other;
        auto body = [&]() -> cove::task<> {
            other = std::thread([&, handle = cove::loop_handle::current()] {
                bool taken = true;
                while (taken) {
                    auto function = [token = counted(destroyed)] {};
                    made.fetch_add(1);
                    taken = handle.post(std::move(function));
                }
            });
            while (made.load() < 10) co_await cove::yield();
        };
        run_here(body());
        other.join();
        CHECK(made.load() == destroyed.load());
    }
}

TEST_CASE("a loop that has ended uses its kernel no more, whoever still posts or lets go") {
    for (int round = 0; round < 200 / test::scale; ++round) {
        auto os = std::make_unique<test::test_kernel>();
        os->jump = false;
        std::optional<cove::loop_handle> kept;
        std::thread poster;
        auto body = [&]() -> cove::task<> {
            kept = cove::loop_handle::current();
            poster = std::thread([handle = *kept] {
                while (handle.post([] {})) {
                }
            });
            co_await cove::yield();
        };
        test::run(body(), *os);
        os.reset();
        CHECK_FALSE(kept->post([] {}));
        kept.reset();
        poster.join();
    }
}

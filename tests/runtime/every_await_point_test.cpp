// Every primitive, struck at every await point: nothing lost, nothing doubled, nothing leaked, nobody left waiting.

#include <cove/runtime/async_generator.hpp>
#include <cove/runtime/barrier.hpp>
#include <cove/runtime/broadcast.hpp>
#include <cove/runtime/channel.hpp>
#include <cove/runtime/condition.hpp>
#include <cove/runtime/event.hpp>
#include <cove/runtime/finally.hpp>
#include <cove/runtime/for_each_concurrent.hpp>
#include <cove/runtime/interval.hpp>
#include <cove/runtime/latch.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/mutex.hpp>
#include <cove/runtime/offload.hpp>
#include <cove/runtime/promise.hpp>
#include <cove/runtime/race.hpp>
#include <cove/runtime/remote_channel.hpp>
#include <cove/runtime/remote_event.hpp>
#include <cove/runtime/retry.hpp>
#include <cove/runtime/select.hpp>
#include <cove/runtime/semaphore.hpp>
#include <cove/runtime/shared_mutex.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/wait_queue.hpp>
#include <cove/runtime/watch.hpp>
#include <cove/runtime/when_all.hpp>

#include <doctest/doctest.h>
#include <support/sweep.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

using namespace std::chrono_literals;
using test::stage;

namespace {

// Numbered items, and where each of them has got to.
struct ledger {
    std::vector<int> sent;      // in the order in which send() returned
    std::vector<int> received;  // in the order in which receive() returned
    std::vector<int> kept;      // send() did not happen, and the item is with the sender still

    // Every item that was sent, and no other, has been received or is left; each once.
    void check(std::vector<int> left, bool ordered) {
        std::vector<int> there = received;
        there.insert(there.end(), left.begin(), left.end());
        std::vector<int> unique = there;
        std::sort(unique.begin(), unique.end());
        CHECK(std::adjacent_find(unique.begin(), unique.end()) == unique.end());
        for (const int each : sent) CHECK(std::binary_search(unique.begin(), unique.end(), each));
        for (const int each : kept) CHECK_FALSE(std::binary_search(unique.begin(), unique.end(), each));
        if (ordered) CHECK(std::is_sorted(there.begin(), there.end()));
    }
};

using item = std::unique_ptr<int>;

template <class Channel>
cove::task<> send_some(Channel& to, ledger& book, int first, int count) {
    for (int i = first; i < first + count; ++i) {
        auto sent = std::make_unique<int>(i);
        try {
            co_await to.send(std::move(sent));
            CHECK_FALSE(sent);
            book.sent.push_back(i);
        } catch (const cove::canceled&) {
            REQUIRE(sent);
            book.kept.push_back(*sent);
            throw;
        } catch (const std::system_error& error) {
            CHECK(error.code() == cove::errc::closed);
            REQUIRE(sent);
            book.kept.push_back(*sent);
            co_return;
        }
    }
}

template <class Channel>
cove::task<> receive_all(Channel& from, ledger& book) {
    for (;;) {
        const std::optional<item> next = co_await from.receive();
        if (!next) co_return;
        book.received.push_back(**next);
    }
}

template <class Channel>
std::vector<int> drain(Channel& left) {
    std::vector<int> all;
    while (auto next = left.try_receive()) all.push_back(**next);
    return all;
}

// Actors with even numbers send, those with odd numbers receive. When nobody can go on, and a receiver is among those who
// wait, there is nothing left to receive.
template <class Channel>
void check_nobody_forgotten(const stage& stage, const Channel& queue, std::size_t actors) {
    for (std::size_t receiver = 1; receiver < actors; receiver += 2) {
        if (!stage.is_alive(receiver)) continue;
        CHECK(queue.size() == 0);
        for (std::size_t sender = 0; sender < actors; sender += 2) CHECK_FALSE(stage.is_alive(sender));
    }
}

void one_to_one(stage& stage, std::size_t capacity) {
    auto& queue = stage.make<cove::channel<item>>(capacity);
    auto& book = stage.make<ledger>();
    stage.actor([&]() -> cove::task<> { return send_some(queue, book, 0, 5); });
    stage.actor([&]() -> cove::task<> { return receive_all(queue, book); });
    stage.unblock([&] {
        check_nobody_forgotten(stage, queue, 2);
        queue.close();
    });
    stage.check([&] { book.check(drain(queue), true); });
}

void many_to_many(stage& stage, std::size_t capacity) {
    auto& queue = stage.make<cove::channel<item>>(capacity);
    auto& book = stage.make<ledger>();
    for (int i = 0; i < 2; ++i) {
        stage.actor([&queue, &book, i]() -> cove::task<> { return send_some(queue, book, 10 * i, 3); });
        stage.actor([&]() -> cove::task<> { return receive_all(queue, book); });
    }
    stage.unblock([&] {
        check_nobody_forgotten(stage, queue, 4);
        queue.close();
    });
    stage.check([&] { book.check(drain(queue), false); });
}

}  // namespace

TEST_CASE("a channel loses and doubles nothing, whoever is struck, whenever") {
    for (const std::size_t capacity : {0U, 1U, 3U}) {
        test::sweep_twice([capacity](stage& stage) { one_to_one(stage, capacity); });
        test::sweep_twice([capacity](stage& stage) { many_to_many(stage, capacity); });
    }
}

TEST_CASE("a channel that is closed at any moment keeps what was sent") {
    for (const std::size_t capacity : {0U, 2U}) {
        test::sweep_twice([capacity](stage& stage) {
            auto& queue = stage.make<cove::channel<item>>(capacity);
            auto& book = stage.make<ledger>();
            stage.actor([&]() -> cove::task<> { return send_some(queue, book, 0, 5); });
            stage.actor([&]() -> cove::task<> { return receive_all(queue, book); });
            stage.mishap([&] { queue.close(); });
            stage.unblock([&] { queue.close(); });
            stage.check([&] { book.check(drain(queue), true); });
        });
    }
}

TEST_CASE("a remote channel loses and doubles nothing, whoever is struck, whenever") {
    for (const std::size_t capacity : {1U, 2U}) {
        test::sweep([capacity](stage& stage) {
            auto& queue = stage.make<cove::remote_channel<item>>(capacity);
            auto& book = stage.make<ledger>();
            for (int i = 0; i < 2; ++i) {
                stage.actor([&queue, &book, i]() -> cove::task<> { return send_some(queue, book, 10 * i, 3); });
                stage.actor([&]() -> cove::task<> { return receive_all(queue, book); });
            }
            stage.mishap([&] { queue.close(); });
            stage.unblock([&] {
                check_nobody_forgotten(stage, queue, 4);
                queue.close();
            });
            stage.check([&] { book.check(drain(queue), false); });
        });
    }
}

TEST_CASE("an event wakes everybody who waits, whoever is struck") {
    test::sweep_twice([](stage& stage) {
        auto& happened = stage.make<cove::event>();
        auto& woken = stage.make<int>(0);
        for (int i = 0; i < 3; ++i) {
            stage.actor([&]() -> cove::task<> {
                co_await happened.wait();
                ++woken;
            });
        }
        stage.actor([&]() -> cove::task<> {
            co_await cove::yield();
            happened.set();
            happened.reset();
        });
        stage.unblock([&] { happened.set(); });
        stage.check([&] {
            int expected = 0;
            for (std::size_t i = 0; i < 3; ++i) expected += stage.fate_of(i) == stage::fate::unharmed ? 1 : 0;
            CHECK(woken >= expected);
        });
    });
}

TEST_CASE("a remote event wakes everybody who waits, whoever is struck") {
    test::sweep([](stage& stage) {
        auto& happened = stage.make<cove::remote_event>();
        for (int i = 0; i < 3; ++i) stage.actor([&]() -> cove::task<> { co_await happened.wait(); });
        stage.actor([&]() -> cove::task<> {
            co_await cove::yield();
            happened.set();
        });
        stage.unblock([&] { happened.set(); });
    });
}

TEST_CASE("a latch is counted down, a barrier passed, whoever is struck") {
    test::sweep_twice([](stage& stage) {
        auto& done = stage.make<cove::latch>(3U);
        for (int i = 0; i < 3; ++i) {
            stage.actor([&]() -> cove::task<> {
                co_await cove::yield();
                done.count_down();
            });
        }
        stage.actor([&]() -> cove::task<> { co_await done.wait(); });
        stage.unblock([&] { done.count_down(3); });
    });
    test::sweep_twice([](stage& stage) {
        auto& meeting = stage.make<cove::barrier>(3U);
        auto& rounds = stage.make<std::vector<int>>(3);
        auto& last = stage.make<int>(0);
        for (std::size_t i = 0; i < 3; ++i) {
            stage.actor([&, i]() -> cove::task<> {
                for (int round = 0; round < 3; ++round) {
                    if (co_await meeting.arrive_and_wait()) ++last;
                    ++rounds[i];
                }
            });
        }
        // Those who are left over need others to meet.
        stage.unblock([&stage, &meeting] {
            auto& helpers = stage.make<cove::task_group>(cove::loop::current().root_scope());
            for (int i = 0; i < 2; ++i) {
                helpers.spawn([&meeting]() -> cove::task<> {
                    for (;;) co_await meeting.arrive_and_wait();
                });
            }
        });
        stage.check([&] {
            if (stage.all_unharmed()) {
                CHECK(rounds == std::vector<int>{3, 3, 3});
                CHECK(last == 3);
            }
            for (std::size_t i = 0; i < 3; ++i)
                if (stage.fate_of(i) == stage::fate::unharmed) CHECK(rounds[i] == 3);
        });
    });
}

TEST_CASE("a semaphore never gives more permits than it has, nor loses one") {
    for (const std::size_t permits : {1U, 2U}) {
        test::sweep_twice([permits](stage& stage) {
            auto& limit = stage.make<cove::semaphore>(permits);
            auto& inside = stage.make<std::size_t>(0U);
            for (int i = 0; i < 4; ++i) {
                stage.actor([&, permits]() -> cove::task<> {
                    struct counted {
                        std::size_t& count;
                        ~counted() { --count; }
                    };
                    for (int round = 0; round < 2; ++round) {
                        const auto permit = co_await limit.acquire();
                        const counted here{++inside};
                        CHECK(inside <= permits);
                        co_await cove::yield();
                    }
                });
            }
            stage.check([&, permits] {
                CHECK(inside == 0);
                CHECK(limit.available() == permits);
            });
        });
    }
}

TEST_CASE("a mutex is held by one, and is free in the end") {
    test::sweep_twice([](stage& stage) {
        auto& lock = stage.make<cove::mutex>();
        auto& inside = stage.make<bool>(false);
        for (int i = 0; i < 3; ++i) {
            stage.actor([&]() -> cove::task<> {
                struct leaves {
                    bool& inside;
                    ~leaves() { inside = false; }
                };
                const auto held = co_await lock.lock();
                CHECK_FALSE(std::exchange(inside, true));
                const leaves guard{inside};
                co_await cove::yield();
            });
        }
        stage.check([&] { CHECK_FALSE(lock.is_locked()); });
    });
}

TEST_CASE("a shared mutex is held by readers or by one writer, and is free in the end") {
    test::sweep_twice([](stage& stage) {
        struct state {
            cove::shared_mutex lock;
            int readers = 0;
            int writers = 0;
        };
        struct counted {
            int& count;
            ~counted() { --count; }
        };
        auto& shared = stage.make<state>();
        for (int i = 0; i < 5; ++i) {
            const bool writes = i == 1 || i == 3;
            stage.actor([&, writes]() -> cove::task<> {
                auto asked = writes ? shared.lock.lock() : shared.lock.lock_shared();
                const auto held = co_await asked;
                const counted here{++(writes ? shared.writers : shared.readers)};
                CHECK(shared.writers <= 1);
                CHECK((shared.writers == 0 || shared.readers == 0));
                co_await cove::yield();
            });
        }
        stage.check([&] { CHECK(shared.lock.try_lock()); });
    });
}

TEST_CASE("a condition loses no notification, and its guard is always true") {
    test::sweep_twice([](stage& stage) {
        struct state {
            cove::mutex lock;
            cove::condition changed;
            int tokens = 0;
            int taken = 0;
        };
        auto& shared = stage.make<state>();
        for (int i = 0; i < 3; ++i) {
            stage.actor([&]() -> cove::task<> {
                auto held = co_await shared.lock.lock();
                try {
                    while (shared.tokens == 0) co_await shared.changed.wait(held);
                    --shared.tokens;
                    ++shared.taken;
                } catch (const cove::canceled&) {
                    CHECK(held);
                    throw;
                }
                CHECK(held);
            });
        }
        stage.actor([&]() -> cove::task<> {
            for (int i = 0; i < 3; ++i) {
                {
                    const auto held = co_await shared.lock.lock();
                    ++shared.tokens;
                    shared.changed.notify_one();
                }
                co_await cove::yield();
            }
        });
        // Only where the one who notifies was struck may somebody still wait, and then no token may lie there for him.
        stage.unblock([&] {
            CHECK(shared.tokens == 0);
            shared.tokens = 3;
            shared.changed.notify_all();
        });
        stage.check([&] { CHECK_FALSE(shared.lock.is_locked()); });
    });
}

TEST_CASE("a broadcast reaches every subscriber with every message, or says how many it missed") {
    test::sweep_twice([](stage& stage) {
        auto& news = stage.make<cove::broadcast<int>>(2U);
        auto& seen = stage.make<std::vector<int>>(3);
        for (std::size_t i = 0; i < 3; ++i) {
            auto& place = stage.make<cove::broadcast<int>::subscription>(news);
            stage.actor([&, i]() -> cove::task<> {
                int expected = 0;
                while (const auto next = co_await place.receive()) {
                    CHECK(next->value == expected + static_cast<int>(next->missed));
                    expected = next->value + 1;
                    seen[i] = expected;
                    if (i == 2) co_await cove::sleep_for(1ms);
                }
            });
        }
        stage.actor([&]() -> cove::task<> {
            for (int i = 0; i < 4; ++i) {
                news.send(i);
                co_await cove::yield();
            }
            news.close();
        });
        stage.unblock([&] { news.close(); });
        stage.check([&] {
            if (stage.all_unharmed()) CHECK(seen == std::vector<int>{4, 4, 4});
        });
    });
}

TEST_CASE("a watch shows its last value to everybody") {
    test::sweep_twice([](stage& stage) {
        auto& value = stage.make<cove::watch<int>>(0);
        auto& last = stage.make<std::vector<int>>(2);
        for (std::size_t i = 0; i < 2; ++i) {
            auto& eye = stage.make<cove::watch<int>::observer>(value);
            stage.actor([&, i]() -> cove::task<> {
                while (const int* now = co_await eye.changed()) {
                    CHECK(*now > last[i]);
                    last[i] = *now;
                }
            });
        }
        stage.actor([&]() -> cove::task<> {
            for (int i = 1; i <= 3; ++i) {
                value.set(i);
                co_await cove::yield();
            }
            value.close();
        });
        stage.unblock([&] { value.close(); });
        stage.check([&] {
            if (stage.all_unharmed()) CHECK(last == std::vector<int>{3, 3});
        });
    });
}

TEST_CASE("a promise reaches everybody who waits") {
    test::sweep_twice([](stage& stage) {
        auto& result = stage.make<cove::promise<int>>();
        for (int i = 0; i < 3; ++i)
            stage.actor([&]() -> cove::task<> {
                const int& value = co_await result.get();
                CHECK(value == 7);
            });
        stage.actor([&]() -> cove::task<> {
            co_await cove::yield();
            result.set_value(7);
        });
        stage.unblock([&] { result.set_value(7); });
    });
}

TEST_CASE("a wait queue passes a wake-up on") {
    test::sweep_twice([](stage& stage) {
        struct state {
            cove::wait_queue queue;
            int tokens = 0;
        };
        auto& shared = stage.make<state>();
        for (int i = 0; i < 3; ++i) {
            stage.actor([&]() -> cove::task<> {
                while (shared.tokens == 0) co_await shared.queue.wait();
                --shared.tokens;
            });
        }
        stage.actor([&]() -> cove::task<> {
            for (int i = 0; i < 3; ++i) {
                ++shared.tokens;
                shared.queue.wake_one();
                co_await cove::yield();
            }
        });
        stage.unblock([&] {
            CHECK(shared.tokens == 0);
            shared.tokens = 3;
            shared.queue.wake_all();
        });
    });
}

TEST_CASE("select takes one item at a time from several sources, and loses none") {
    for (const std::size_t capacity : {0U, 1U}) {
        test::sweep_twice([capacity](stage& stage) {
            auto& numbers = stage.make<cove::channel<item>>(capacity);
            auto& others = stage.make<cove::channel<item>>(capacity);
            auto& book = stage.make<ledger>();
            auto& limit = stage.make<cove::semaphore>(1U);
            stage.actor([&]() -> cove::task<> { return send_some(numbers, book, 0, 3); });
            stage.actor([&]() -> cove::task<> { return send_some(others, book, 10, 3); });
            stage.actor([&]() -> cove::task<> {
                const auto held = co_await limit.acquire();
                for (int i = 0; i < 4; ++i) co_await cove::yield();
            });
            stage.actor([&]() -> cove::task<> {
                cove::interval ticker(1ms);
                cove::semaphore::permit permit;
                for (int ticks = 0; ticks < 3;) {
                    auto first =
                        co_await cove::select(numbers.receive(), others.receive(), limit.acquire(), ticker.next());
                    if (first.index() == 2) permit = std::get<2>(std::move(first));
                    if (first.index() == 3) ++ticks;
                    item got;
                    if (first.index() == 0) got = std::get<0>(std::move(first)).value();
                    if (first.index() == 1) got = std::get<1>(std::move(first)).value();
                    if (got) book.received.push_back(*got);
                }
            });
            stage.unblock([&] {
                numbers.close();
                others.close();
            });
            stage.check([&] {
                std::vector<int> left = drain(numbers);
                for (const int each : drain(others)) left.push_back(each);
                book.check(left, false);
                CHECK(limit.available() == 1);
            });
        });
    }
}

TEST_CASE("race keeps what was received and sent, whoever is struck") {
    for (const std::size_t capacity : {0U, 1U}) {
        test::sweep_twice([capacity](stage& stage) {
            auto& numbers = stage.make<cove::channel<item>>(capacity);
            auto& others = stage.make<cove::channel<item>>(capacity);
            auto& book = stage.make<ledger>();
            stage.actor([&]() -> cove::task<> { return send_some(numbers, book, 0, 3); });
            stage.actor([&]() -> cove::task<> { return send_some(others, book, 10, 3); });
            stage.actor([&]() -> cove::task<> {
                while (book.received.size() < 6) {
                    auto [a, b] = co_await cove::race(numbers.receive(), others.receive());
                    for (auto* each : {&a, &b})
                        if (*each && **each) book.received.push_back(*each->value().value());
                    if ((a && !*a) || (b && !*b)) co_return;
                }
            });
            stage.unblock([&] {
                numbers.close();
                others.close();
            });
            // A frame that is destroyed takes with it what its race has received and not yet returned.
            stage.check([&] {
                std::vector<int> left = drain(numbers);
                for (const int each : drain(others)) left.push_back(each);
                if (stage.fate_of(2) == stage::fate::destroyed) return;
                book.check(left, false);
            });
        });
    }
}

TEST_CASE("when_all, for_each_concurrent and groups end all that they began") {
    test::sweep([](stage& stage) {
        auto& alive = stage.make<int>(0);
        const auto works = [&alive](int rounds) -> cove::task<int> {
            struct counted {
                int& count;
                ~counted() { --count; }
            };
            const counted here{++alive};
            for (int i = 0; i < rounds; ++i) co_await cove::sleep_for(1ms);
            co_return rounds;
        };
        auto& work = stage.make<std::function<cove::task<int>(int)>>(works);
        stage.actor([&]() -> cove::task<> {
            const auto [a, b] = co_await cove::when_all(work(1), work(2));
            CHECK(a + b == 3);
        });
        stage.actor([&]() -> cove::task<> {
            std::vector<cove::task<int>> many;
            for (int i = 0; i < 3; ++i) many.push_back(work(i));
            const auto all = co_await cove::when_all(std::move(many));
            CHECK(all == std::vector<int>{0, 1, 2});
        });
        stage.actor([&]() -> cove::task<> {
            const std::vector<int> rounds{1, 2, 1, 2};
            auto each = [&](int count) -> cove::task<> { co_await work(count); };
            co_await cove::for_each_concurrent(rounds, 2, each);
        });
        stage.check([&] { CHECK(alive == 0); });
    });
}

TEST_CASE("finally cleans up, whenever the operation ends") {
    test::sweep([](stage& stage) {
        auto& cleaned = stage.make<int>(0);
        auto& begun = stage.make<bool>(false);
        stage.actor([&]() -> cove::task<> {
            auto works = [&]() -> cove::task<int> {
                begun = true;
                co_await cove::sleep_for(1s);
                co_return 1;
            };
            auto cleans = [&]() -> cove::task<> {
                co_await cove::sleep_for(1s);
                ++cleaned;
            };
            const int result = co_await cove::finally(works(), 5s, cleans);
            CHECK(result == 1);
        });
        stage.check([&] {
            if (stage.fate_of(0) != stage::fate::destroyed) CHECK(cleaned == (begun ? 1 : 0));
        });
    });
}

TEST_CASE("timeouts, retries, tickers and generators end in order, whenever they are struck") {
    test::sweep([](stage& stage) {
        stage.actor([]() -> cove::task<> {
            int attempts = 0;
            auto fails_twice = [&]() -> cove::task<int> {
                co_await cove::sleep_for(1ms);
                if (++attempts < 3) throw std::system_error(std::make_error_code(std::errc::connection_refused));
                co_return attempts;
            };
            const int result = co_await cove::retry(fails_twice);
            CHECK(result == 3);
        });
        stage.actor([]() -> cove::task<> {
            cove::interval ticker(10ms);
            for (int i = 0; i < 3; ++i) co_await cove::timeout(1s, ticker.next());
        });
        stage.actor([]() -> cove::task<> {
            auto counts = []() -> cove::async_generator<item> {
                for (int i = 0; i < 3; ++i) {
                    co_await cove::sleep_for(1ms);
                    co_yield std::make_unique<int>(i);
                }
            };
            auto numbers = counts();
            int expected = 0;
            while (const item* next = co_await numbers.next()) CHECK(**next == expected++);
            CHECK(expected == 3);
        });
        stage.actor([]() -> cove::task<> {
            const bool slept = co_await cove::move_on_after(5ms, cove::sleep_for(1h));
            CHECK_FALSE(slept);
            co_await cove::shield(cove::sleep_for(5ms));
        });
    });
}

TEST_CASE("an offloaded call is made or not made, and its result is not lost") {
    test::sweep(
        [](stage& stage) {
            auto& made = stage.make<std::atomic<int>>(0);
            auto& returned = stage.make<int>(0);
            for (int i = 0; i < 2; ++i) {
                stage.actor([&]() -> cove::task<> {
                    co_await cove::offload([&] { ++made; });
                    ++returned;
                });
            }
            stage.check([&] {
                CHECK(returned <= made);
                if (stage.all_unharmed()) CHECK(returned == 2);
            });
        },
        2s);
}

// Loops and threads at one object, under load: nothing is lost, doubled or forgotten, whoever leaves and whenever.

#include <cove/runtime/detail/remote_gate.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/remote_channel.hpp>
#include <cove/runtime/remote_event.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/threads.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using numbers = cove::remote_channel<int>;

namespace {

// Items that several senders send, each its own range of numbers, and how often each was received.
class ledger {
public:
    ledger(int senders, int items_each)
        : items_each_(items_each), received_(static_cast<std::size_t>(senders * items_each)), sending_(senders) {}

    int first_of(int sender) const { return sender * items_each_; }
    int end_of(int sender) const { return (sender + 1) * items_each_; }
    int sender_of(int item) const { return item / items_each_; }
    void note(int item) { ++received_[static_cast<std::size_t>(item)]; }

    // For senders: closes the channel with the last of them.
    void has_sent(numbers& channel) {
        if (--sending_ == 0) channel.close();
    }

    bool each_exactly_once() const {
        return std::all_of(received_.begin(), received_.end(), [](const auto& count) { return count.load() == 1; });
    }

private:
    int items_each_;
    std::vector<std::atomic<int>> received_;
    std::atomic<int> sending_;
};

// What one receiver gets of one sender is in the order in which it was sent.
class in_order {
public:
    explicit in_order(ledger& noted) : noted_(noted) {}
    ~in_order() { CHECK(all_); }
    void note(int item) {
        noted_.note(item);
        int& last = last_[noted_.sender_of(item) % 16];
        all_ = all_ && last < item;
        last = item;
    }

private:
    ledger& noted_;
    int last_[16] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    bool all_ = true;
};

cove::duration up_to_50us(std::minstd_rand& random) { return static_cast<long>(random() % 51) * 1us; }

cove::task<> sends_with_limits(numbers channel, ledger& items, int sender) {
    std::minstd_rand random(static_cast<unsigned>(sender + 1));
    for (int item = items.first_of(sender); item < items.end_of(sender); ++item) {
        if (random() % 8 != 0) {
            co_await channel.send(item);
        } else {
            while (!co_await cove::move_on_after(up_to_50us(random), channel.send(item))) {
            }
        }
    }
    items.has_sent(channel);
}

cove::task<> receives_with_limits(numbers channel, ledger& items, unsigned seed) {
    std::minstd_rand random(seed);
    in_order received(items);
    for (;;) {
        std::optional<std::optional<int>> item;
        if (random() % 8 != 0)
            item = co_await channel.receive();
        else
            item = co_await cove::move_on_after(up_to_50us(random), channel.receive());
        if (!item) continue;
        if (!*item) co_return;
        received.note(**item);
    }
}

cove::task<> receives_one(numbers channel, ledger& items) {
    const std::optional<int> item = co_await channel.receive();
    if (item) items.note(*item);
}

// Waits in the way of the others, and is canceled or destroyed at any moment.
cove::task<> comes_and_goes(numbers channel, ledger& items, const std::atomic<bool>& over, unsigned seed) {
    std::minstd_rand random(seed);
    while (!over.load()) {
        cove::task_group group;
        for (auto i = random() % 3; i < 3; ++i) group.spawn(receives_one(channel, items));
        co_await cove::sleep_for(up_to_50us(random));
        if (random() % 2 == 0) continue;  // destroys them
        group.cancel();
        co_await group.join();
    }
}

void stress(std::size_t capacity, int loops, int threads_each) {
    const int senders = loops + threads_each;
    ledger items(senders, 100'000 / test::scale / senders);
    numbers channel(capacity);
    std::atomic<int> receiving{loops + threads_each};
    std::atomic<bool> over{false};
    const auto ends = [&] {
        if (--receiving == 0) over.store(true);
    };
    test::threads threads;
    for (int i = 0; i < loops; ++i) {
        threads.start_loop([&, channel, i]() -> cove::task<> {
            auto receives = [&](unsigned seed) -> cove::task<> {
                co_await receives_with_limits(channel, items, seed);
                if (seed % 2 == 0) ends();
            };
            cove::task_group group;
            const auto seed = static_cast<unsigned>(2 * i);
            group.spawn(sends_with_limits(channel, items, i));
            group.spawn(receives(seed));
            group.spawn(receives(seed + 1));
            group.spawn(comes_and_goes(channel, items, over, seed + 100));
            co_await group.join();
        });
    }
    for (int i = 0; i < threads_each; ++i) {
        threads.start([&, channel, i]() mutable {
            const int sender = loops + i;
            for (int item = items.first_of(sender); item < items.end_of(sender); ++item) channel.send_blocking(item);
            items.has_sent(channel);
        });
        threads.start([&, channel]() mutable {
            in_order received(items);
            while (const std::optional<int> item = channel.receive_blocking()) received.note(*item);
            ends();
        });
    }
    threads.join();
    CHECK(items.each_exactly_once());
    CHECK(channel.size() == 0);
}

}  // namespace

TEST_CASE("every item arrives exactly once, through a capacity of 1") { stress(1, 3, 2); }

TEST_CASE("every item arrives exactly once, through a capacity of 2") { stress(2, 3, 2); }

TEST_CASE("every item arrives exactly once, through a capacity of 64") { stress(64, 3, 2); }

TEST_CASE("every item arrives exactly once between loops alone, where no thread could make up for a lost call") {
    stress(1, 4, 0);
}

TEST_CASE("two loops that hand one item to and fro lose no wake-up") {
    static constexpr int rounds = 100'000 / test::scale;
    numbers there(1);
    numbers back(1);
    test::threads threads;
    threads.start_loop([there, back]() mutable -> cove::task<> {
        for (int i = 0; i < rounds; ++i) {
            co_await there.send(i);
            const std::optional<int> echoed = co_await back.receive();
            if (echoed != i) FAIL("an item was lost");
        }
        there.close();
    });
    threads.start_loop([there, back]() mutable -> cove::task<> {
        while (const std::optional<int> item = co_await there.receive()) co_await back.send(*item);
    });
    threads.join();
    CHECK(there.size() + back.size() == 0);
}

TEST_CASE("a loop and a thread that hand one item to and fro lose no wake-up") {
    static constexpr int rounds = 50'000 / test::scale;
    numbers there(1);
    numbers back(1);
    test::threads threads;
    threads.start_loop([there, back]() mutable -> cove::task<> {
        while (const std::optional<int> item = co_await there.receive()) co_await back.send(*item);
    });
    int echoed = 0;
    for (int i = 0; i < rounds; ++i) {
        CHECK_MESSAGE(there.send_blocking(i), "closed");
        if (back.receive_blocking() == i) ++echoed;
    }
    there.close();
    threads.join();
    CHECK(echoed == rounds);
}

TEST_CASE("a channel that is closed at any moment gives up exactly what it has taken") {
    static constexpr int rounds = 200 / test::scale;
    for (int round = 0; round < rounds; ++round) {
        numbers channel(static_cast<std::size_t>(1 + round % 3));
        std::atomic<long> sent{0};
        std::atomic<long> received{0};
        test::threads threads;
        for (int i = 0; i < 2; ++i) {
            threads.start_loop([&, channel]() mutable -> cove::task<> {
                auto sends = [&]() -> cove::task<> {
                    for (;;) {
                        const auto result = co_await cove::as_result(channel.send(1));
                        if (!result) co_return;
                        ++sent;
                    }
                };
                auto receives = [&]() -> cove::task<> {
                    while (co_await channel.receive()) ++received;
                    CHECK_FALSE(co_await channel.receive());
                };
                cove::task_group group;
                group.spawn(sends());
                group.spawn(sends());
                group.spawn(receives());
                group.spawn(receives());
                co_await group.join();
            });
        }
        threads.start([&, channel]() mutable {
            while (channel.send_blocking(1)) ++sent;
        });
        threads.start([&, channel]() mutable {
            while (channel.receive_blocking()) ++received;
        });
        while (received.load() < round) std::this_thread::yield();
        channel.close();
        threads.join();
        CHECK(sent.load() == received.load());
    }
}

TEST_CASE("loops that end while they wait, or are called, take nothing from those that go on") {
    static constexpr int rounds = 300 / test::scale;
    numbers channel(2);
    ledger items(2, 20'000 / test::scale);
    test::threads threads;
    for (int i = 0; i < 2; ++i) {
        threads.start_loop(
            [&, channel, i]() mutable -> cove::task<> { co_await sends_with_limits(channel, items, i); });
    }
    threads.start_loop([&, channel]() -> cove::task<> { co_await receives_with_limits(channel, items, 7); });
    for (unsigned thread = 0; thread < 2; ++thread) {
        threads.start([&, channel, thread] {
            std::minstd_rand random(thread + 1);
            for (int round = 0; round < rounds; ++round) {
                // Leaves by the end of main, with receivers waiting, woken, or with a message under way.
                auto body = [&]() -> cove::task<> {
                    cove::task_group group;
                    for (int i = 0; i < 3; ++i) group.spawn(receives_one(channel, items));
                    co_await cove::sleep_for(up_to_50us(random));
                };
                test::run_real(body());
            }
        });
    }
    threads.join();
    CHECK(items.each_exactly_once());
}

TEST_CASE("senders that are canceled have sent their item or still have it") {
    static constexpr int rounds = 20'000 / test::scale;
    cove::remote_channel<std::string> channel(1);
    std::atomic<int> sent{0};
    std::atomic<int> received{0};
    test::threads threads;
    threads.start_loop([&, channel]() mutable -> cove::task<> {
        std::minstd_rand random(3);
        for (int i = 0; i < rounds; ++i) {
            std::string item = "an item that is too long for a short string " + std::to_string(i);
            const bool was_sent = co_await cove::move_on_after(up_to_50us(random), channel.send(std::move(item)));
            if (was_sent) ++sent;
            if (was_sent != item.empty()) FAIL("neither sent nor kept");
        }
        channel.close();
    });
    for (int i = 0; i < 2; ++i) {
        threads.start_loop([&, channel]() mutable -> cove::task<> {
            while (const std::optional<std::string> item = co_await channel.receive()) {
                ++received;
                if (received % 3 == 0) co_await cove::sleep_for(20us);
            }
        });
    }
    threads.join();
    CHECK(sent.load() == received.load());
    CHECK(sent.load() > 0);
}

TEST_CASE("handles come and go on every thread, and the last of them ends what is left") {
    static constexpr int rounds = 300 / test::scale;
    for (int round = 0; round < rounds; ++round) {
        auto alive = std::make_shared<int>(round);
        {
            auto channel = std::make_optional<cove::remote_channel<std::shared_ptr<int>>>(8);
            test::threads threads;
            for (int i = 0; i < 2; ++i) {
                threads.start_loop([alive, channel = *channel]() mutable -> cove::task<> {
                    auto waits = [](cove::remote_channel<std::shared_ptr<int>> own) -> cove::task<> {
                        co_await own.receive();
                    };
                    cove::task_group group;
                    for (int waiting = 0; waiting < 2; ++waiting) group.spawn(waits(channel));
                    co_await channel.send(alive);
                    co_await cove::yield();
                });
                threads.start([alive, channel = *channel]() mutable {
                    auto copy = channel;
                    copy.try_send(std::shared_ptr<int>(alive));
                    channel = cove::remote_channel<std::shared_ptr<int>>(1);
                });
            }
            channel.reset();
            threads.join();
        }
        CHECK(alive.use_count() == 1);
    }
}

TEST_CASE("an item that brings its own way back goes round between loops") {
    struct question {
        question(int number, numbers way_back) : asked(number), answer(std::move(way_back)) {}
        int asked;
        numbers answer;
    };
    static constexpr int rounds = 2000 / test::scale;
    cove::remote_channel<question> questions(4);
    test::threads threads;
    threads.start_loop([questions]() mutable -> cove::task<> {
        while (std::optional<question> asked = co_await questions.receive())
            co_await asked->answer.send(asked->asked * 2);
    });
    std::atomic<int> asking{2};
    for (int i = 0; i < 2; ++i) {
        threads.start_loop([&asking, questions]() mutable -> cove::task<> {
            for (int round = 0; round < rounds; ++round) {
                numbers answer(1);
                question asked(round, answer);
                co_await questions.send(std::move(asked));
                const std::optional<int> answered = co_await answer.receive();
                if (answered != 2 * round) FAIL("another one's answer");
            }
            if (--asking == 0) questions.close();
        });
    }
    threads.join();
    CHECK(questions.size() == 0);
}

#include <cove/net/outbox.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <support/net.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using cove::message;
using cove::outbox;
using cove::task;
using cove::when_full;

namespace {

cove::outbox_options options_of(when_full policy, std::size_t messages_max) {
    cove::outbox_options options;
    options.policy = policy;
    options.messages_max = messages_max;
    return options;
}

// A line that says which it is, and is long enough that a narrow connection takes a few of them only.
std::string line(int number) { return std::to_string(number) + ' ' + std::string(5'000, '.') + '\n'; }

// The numbers of the lines; -1 where one is not whole.
std::vector<int> numbers_of(const std::string& received) {
    std::vector<int> numbers;
    for (std::size_t at = 0; at < received.size();) {
        const int number = std::atoi(received.c_str() + at);
        const std::string whole = line(number);
        if (received.compare(at, whole.size(), whole) != 0) {
            numbers.push_back(-1);
            break;
        }
        numbers.push_back(number);
        at += whole.size();
    }
    return numbers;
}

task<> write_until_closed(outbox& box, cove::tcp_stream& peer, std::error_code& error) {
    error = (co_await cove::as_result(box.write_to(peer))).error();
    peer.shutdown_write();
}

}  // namespace

TEST_CASE("messages arrive in order, and those that wait together leave with one system call") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            outbox box;
            std::string expected;
            for (int i = 0; i < 50; ++i) {
                CHECK(box.try_push(message(std::to_string(i) + ' ')));
                expected += std::to_string(i) + ' ';
            }
            CHECK(box.try_push(message()));  // nothing to send
            CHECK(box.size() == 50);
            std::error_code error;
            cove::task_group group;
            group.spawn(write_until_closed(box, pair.left, error));
            co_await cove::yield();
            CHECK(os.calls["send_message"] == 1);
            CHECK(box.size() == 0);
            for (int i = 50; i < 200; ++i) {
                CHECK(box.try_push(message(std::to_string(i) + ' ')));
                expected += std::to_string(i) + ' ';
            }
            co_await cove::yield();
            co_await cove::yield();
            CHECK(os.calls["send_message"] <= 1 + 3);
            box.close();
            co_await group.join();
            CHECK(!error);
            const std::string all = co_await test::read_all(pair.right);
            CHECK(all == expected);
            CHECK(box.dropped() == 0);
        },
        os);
}

TEST_CASE("write_to waits for messages, and ends when the outbox is closed and empty") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        outbox box;
        std::error_code error;
        bool ended = false;
        cove::task_group group;
        group.spawn([&]() -> task<> {
            co_await write_until_closed(box, pair.left, error);
            ended = true;
        });
        for (int i = 0; i < 3; ++i) {
            co_await cove::yield();
            CHECK(box.try_push(message("x")));
            char byte[10];
            const std::size_t count = co_await pair.right.read(byte);
            CHECK(count == 1);
        }
        CHECK(box.try_push(message("last")));
        box.close();
        CHECK(!box.try_push(message("too late")));
        const bool pushed = co_await box.push(message("too late"));
        CHECK(!pushed);
        co_await group.join();
        CHECK(ended);
        const std::string all = co_await test::read_all(pair.right);
        CHECK(all == "last");
    });
}

TEST_CASE("one message goes to many peers, and lives as long as the last of them needs it") {
    test::within([]() -> task<> {
        test::stream_pair one = co_await test::connected_pair();
        test::stream_pair two = co_await test::connected_pair();
        outbox first, second;
        {
            const message shared({"to ", "all"});
            CHECK(first.try_push(shared));
            CHECK(second.try_push(shared));
        }
        first.close();
        second.close();
        co_await first.write_to(one.left);
        one.left.close();
        std::string all = co_await test::read_all(one.right);
        CHECK(all == "to all");
        co_await second.write_to(two.left);
        two.left.close();
        all = co_await test::read_all(two.right);
        CHECK(all == "to all");
    });
}

TEST_CASE(
    "disconnect: a peer that reads nothing is too_slow at once, and finish() spends no more than its patience on it") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::narrow_pair();
            outbox box(options_of(when_full::disconnect, 100));
            std::error_code error;
            cove::task_group group;
            group.spawn([&]() -> task<> { error = (co_await cove::as_result(box.write_to(pair.left))).error(); });
            int pushed = 0;
            while (box.try_push(message(line(pushed)))) {
                ++pushed;
                if (pushed % 10 == 0) co_await cove::yield();
            }
            CHECK(pushed >= 100);
            CHECK(!box.try_push(message("closed")));
            cove::time_point start = cove::now();
            co_await group.join();
            CHECK(error == cove::errc::too_slow);
            CHECK(cove::now() - start < 1s);
            CHECK(box.size() > 0);
            CHECK(box.size() <= 64);
            CHECK(box.dropped() > 0);
            start = cove::now();
            co_await box.finish(pair.left, "bye", 2s);
            CHECK(!pair.left.is_open());
            CHECK(cove::now() - start >= 2s);
            CHECK(cove::now() - start < 3s);
        },
        os);
}

TEST_CASE("disconnect: a peer that reads on gets what was on its way, whole, and then the last words") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::narrow_pair();
        outbox box(options_of(when_full::disconnect, 100));
        std::error_code error;
        cove::task_group group;
        group.spawn([&]() -> task<> {
            error = (co_await cove::as_result(box.write_to(pair.left))).error();
            co_await box.finish(pair.left, "bye", 1h);
        });
        for (int i = 0; box.try_push(message(line(i))); ++i)
            if (i % 10 == 0) co_await cove::yield();
        std::string all = co_await test::read_all(pair.right);
        pair.right.close();
        co_await group.join();
        CHECK(error == cove::errc::too_slow);
        CHECK(all.ends_with("\nbye"));
        all.erase(all.size() - 3);
        const std::vector<int> numbers = numbers_of(all);
        CHECK(!numbers.empty());
        for (std::size_t i = 0; i < numbers.size(); ++i) CHECK(numbers[i] == static_cast<int>(i));
    });
}

TEST_CASE("disconnect: an outbox that overflows while nobody writes ends the next write_to at once") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        outbox box(options_of(when_full::disconnect, 2));
        CHECK(box.try_push(message("1")));
        CHECK(box.try_push(message("2")));
        CHECK(!box.try_push(message("3")));
        CHECK(box.size() == 0);
        CHECK(box.dropped() == 2);
        std::error_code error;
        co_await write_until_closed(box, pair.left, error);
        CHECK(error == cove::errc::too_slow);
    });
}

TEST_CASE("drop_oldest: what is on its way arrives whole, the newest arrive, and what is missing was counted") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::narrow_pair();
        outbox box(options_of(when_full::drop_oldest, 80));
        std::error_code error;
        cove::task_group group;
        group.spawn(write_until_closed(box, pair.left, error));
        constexpr int pushed = 500;
        for (int i = 0; i < pushed; ++i) {
            CHECK(box.try_push(message(line(i))));
            if (i % 7 == 0) co_await cove::yield();
        }
        CHECK(box.size() == 80);
        box.close();
        const std::string all = co_await test::read_all(pair.right);
        co_await group.join();
        CHECK(!error);
        const std::vector<int> numbers = numbers_of(all);
        CHECK(numbers.size() + box.dropped() == pushed);
        CHECK(box.dropped() > 0);
        CHECK(numbers.front() == 0);
        CHECK(numbers.back() == pushed - 1);
        for (std::size_t i = 1; i < numbers.size(); ++i) CHECK(numbers[i] > numbers[i - 1]);
    });
}

TEST_CASE("drop_oldest: a message that was sent in part is never dropped, with no write going on either") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::narrow_pair();
            outbox box(options_of(when_full::drop_oldest, 3));
            const std::string large = std::string(1'000'000, 'a') + '\n';
            CHECK(box.try_push(message(large)));
            const bool finished = co_await cove::move_on_after(1s, box.write_to(pair.left));
            CHECK(!finished);
            os.jump = false;
            for (const std::string_view text : {"b\n", "c\n", "d\n", "e\n"}) CHECK(box.try_push(message(text)));
            CHECK(box.size() == 3);
            CHECK(box.dropped() == 2);
            box.close();
            std::error_code error;
            cove::task_group group;
            group.spawn(write_until_closed(box, pair.left, error));
            const std::string all = co_await test::read_all(pair.right);
            co_await group.join();
            CHECK((all == large + "d\ne\n"));
        },
        os);
}

// While a batch is being written the policy drops the newest instead, and does not count it: overflow() finds
// everything lent.
TEST_CASE("drop_oldest: an outbox that fits into one batch takes the newest message all the same") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::narrow_pair();
        outbox box(options_of(when_full::drop_oldest, 60));
        std::error_code error;
        cove::task_group group;
        for (int i = 0; i < 60; ++i) CHECK(box.try_push(message(line(i))));
        group.spawn(write_until_closed(box, pair.left, error));
        co_await cove::yield();
        for (int i = 60; i < 90; ++i) (void)box.try_push(message(line(i)));
        box.close();
        const std::string all = co_await test::read_all(pair.right);
        co_await group.join();
        const std::vector<int> numbers = numbers_of(all);
        CHECK(numbers.back() == 89);
        CHECK(numbers.size() + box.dropped() == 90);
    });
}

TEST_CASE("wait: try_push says no, push waits for room, and everything arrives in order") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::narrow_pair();
        outbox box(options_of(when_full::wait, 4));
        for (int i = 0; i < 4; ++i) CHECK(box.try_push(message(line(i))));
        CHECK(!box.try_push(message("no room")));
        std::error_code error;
        cove::task_group writer, pushers;
        for (int i = 4; i < 50; ++i)
            pushers.spawn([&, i]() -> task<> {
                const bool pushed = co_await box.push(message(line(i)));
                CHECK(pushed);
            });
        co_await cove::yield();
        CHECK(box.size() == 4);
        writer.spawn(write_until_closed(box, pair.left, error));
        pushers.spawn([&]() -> task<> {
            co_await cove::sleep_for(1ms);
            while (box.size() == 4) co_await cove::yield();
        });
        std::string all;
        writer.spawn([&]() -> task<> { all = co_await test::read_all(pair.right); });
        co_await pushers.join();
        box.close();
        co_await writer.join();
        const std::vector<int> numbers = numbers_of(all);
        CHECK(numbers.size() == 50);
        for (std::size_t i = 0; i < numbers.size(); ++i) CHECK(numbers[i] == static_cast<int>(i));
        CHECK(box.dropped() == 0);
    });
}

TEST_CASE("wait: a push that is canceled has queued nothing, and close ends those that wait with false") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            outbox box(options_of(when_full::wait, 1));
            CHECK(box.try_push(message("1")));
            const std::optional<bool> canceled = co_await cove::move_on_after(1s, box.push(message("2")));
            CHECK(!canceled);
            CHECK(box.size() == 1);
            bool pushed = true;
            cove::task_group group;
            group.spawn([&]() -> task<> { pushed = co_await box.push(message("3")); });
            co_await cove::yield();
            box.close();
            co_await group.join();
            CHECK(!pushed);
            test::stream_pair pair = co_await test::connected_pair();
            co_await box.write_to(pair.left);
            pair.left.close();
            const std::string all = co_await test::read_all(pair.right);
            CHECK(all == "1");
        },
        os);
}

// The wake-up for one message's room goes to one that does not use it.
TEST_CASE("wait: room that its first waiter does not use goes to the next") {
    for (const bool destroyed : {false, true}) {
        test::test_kernel os;
        test::within(
            [&]() -> task<> {
                test::stream_pair pair = co_await test::connected_pair();
                outbox box(options_of(when_full::wait, 1));
                CHECK(box.try_push(message("1")));
                std::optional<cove::task_group> first;
                first.emplace();
                cove::task_group second, writer;
                // An empty message needs no room; a destroyed coroutine needs none either.
                first->spawn([&]() -> task<> {
                    message unused = destroyed ? message("2") : message();
                    (void)co_await box.push(std::move(unused));
                });
                second.spawn([&]() -> task<> { (void)co_await box.push(message("3")); });
                co_await cove::yield();
                std::error_code error;
                writer.spawn(write_until_closed(box, pair.left, error));
                if (destroyed) {
                    while (box.size() == 1) co_await cove::sleep_for(0s);
                    first.reset();
                }
                co_await second.join();
                first.reset();
                box.close();
                co_await writer.join();
                const std::string all = co_await test::read_all(pair.right);
                CHECK(all.ends_with("3"));
            },
            os);
    }
}

TEST_CASE("a write_to that is canceled in the middle of a message is gone on with at the very byte") {
    std::string expected;
    for (int i = 0; i < 100; ++i) expected += line(i);
    test::within([&]() -> task<> {
        test::stream_pair pair = co_await test::narrow_pair();
        outbox box;
        for (int i = 0; i < 100; ++i) CHECK(box.try_push(message(line(i))));
        box.close();
        std::string all;
        char bytes[3'333];
        int canceled = 0;
        for (bool finished = false; !finished;) {
            cove::cancel_scope scope;
            cove::task_group writer;
            writer.spawn([&]() -> task<> { finished = co_await scope.run(box.write_to(pair.left)); });
            if (all.size() < expected.size()) all.append(bytes, co_await pair.right.read(bytes));
            if (all.size() < expected.size() / 2) scope.cancel();
            while (!finished && all.size() < expected.size() && !scope.is_canceled())
                all.append(bytes, co_await pair.right.read(bytes));
            co_await writer.join();
            if (!finished) ++canceled;
        }
        pair.left.close();
        all += co_await test::read_all(pair.right);
        CHECK((all == expected));
        CHECK(box.size() == 0);
        CHECK(canceled > 10);
    });
}

TEST_CASE("an error of the stream's ends write_to with that error") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::narrow_tcp_pair();
        outbox box;
        for (int i = 0; i < 100; ++i) CHECK(box.try_push(message(line(i))));
        std::error_code error;
        cove::task_group group;
        group.spawn([&]() -> task<> { error = (co_await cove::as_result(box.write_to(pair.left))).error(); });
        co_await cove::yield();
        test::reset(pair.right);
        co_await group.join();
        CHECK(error == std::errc::connection_reset);
        CHECK(box.size() > 0);
    });
}

TEST_CASE("finish sends what is queued and the last words, even in a canceled scope, within its patience") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            outbox box;
            CHECK(box.try_push(message("queued, ")));
            cove::cancel_scope scope;
            scope.cancel();
            const cove::time_point start = cove::now();
            (void)co_await scope.run(box.finish(pair.left, "and bye", 2s));
            CHECK(!pair.left.is_open());
            CHECK(cove::now() - start >= 2s);  // the peer has not closed
            CHECK(cove::now() - start < 3s);
            const std::string all = co_await test::read_all(pair.right);
            CHECK(all == "queued, and bye");
        },
        os);
}

// Events and slots: what is stale is dropped, what is shared is refused, and what left leaves nothing behind.

#include <cove/runtime/detail/reactor.hpp>

#include <cove/runtime/descriptor.hpp>
#include <cove/runtime/io_operation.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <support/socket_pair.hpp>
#include <support/test_kernel.hpp>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

using test::receive;
using test::socket_pair;

namespace {

cove::task<> reads(cove::descriptor& from, int& count) {
    co_await receive(from);
    ++count;
}

cove::task<> reads_all(cove::descriptor& from, long& bytes) {
    while (const long count = co_await receive(from)) bytes += count;
}

}  // namespace

TEST_CASE("an event for a descriptor that was closed in the same batch does not wake the new owner of its number") {
    auto body = []() -> cove::task<> {
        socket_pair first;
        socket_pair second;
        auto third = std::make_unique<socket_pair>();
        int wrongly = 0;
        std::error_code second_error;
        // The first one that is woken closes the second, whose number the next socket gets.
        cove::task_group group;
        auto closes = [&]() -> cove::task<> {
            co_await receive(first.near);
            const int number = second.near.number();
            second.near.close();
            const int reused = ::dup(third->near.number());
            CHECK(reused == number);
            third->near = cove::descriptor(reused);
            group.spawn(reads(third->near, wrongly));
        };
        auto is_told = [&]() -> cove::task<> {
            const auto outcome = co_await cove::as_result(receive(second.near));
            second_error = outcome.error();
        };
        group.spawn(closes());
        group.spawn(is_told());
        co_await cove::yield();
        first.send("x");
        second.send("x");
        co_await cove::sleep_for(1s);
        CHECK(second_error == cove::errc::closed);
        CHECK(wrongly == 0);
        third->send("x");
        co_await group.join();
        CHECK(wrongly == 1);
    };
    test::run_on_linux(body());
}

TEST_CASE("an event that carries an old generation is dropped") {
    // The kernel's answers are made up here: an event of a registration that has long gone.
    test::test_kernel real;
    struct replaying final : cove::kernel {
        explicit replaying(test::test_kernel& os) : os_(os) {}
        cove::time_point now() noexcept override { return os_.now(); }
        int socket(int f, int t, int p) noexcept override { return os_.socket(f, t, p); }
        int bind(int fd, const sockaddr* a, unsigned s) noexcept override { return os_.bind(fd, a, s); }
        int listen(int fd, int b) noexcept override { return os_.listen(fd, b); }
        int accept(int fd) noexcept override { return os_.accept(fd); }
        int connect(int fd, const sockaddr* a, unsigned s) noexcept override { return os_.connect(fd, a, s); }
        int shutdown(int fd, int how) noexcept override { return os_.shutdown(fd, how); }
        int local_address(int fd, sockaddr* a, unsigned* s) noexcept override { return os_.local_address(fd, a, s); }
        int peer_address(int fd, sockaddr* a, unsigned* s) noexcept override { return os_.peer_address(fd, a, s); }
        int set_option(int fd, int l, int n, const void* v, unsigned s) noexcept override {
            return os_.set_option(fd, l, n, v, s);
        }
        int get_option(int fd, int l, int n, void* v, unsigned* s) noexcept override {
            return os_.get_option(fd, l, n, v, s);
        }
        long receive(int fd, void* d, std::size_t s) noexcept override { return os_.receive(fd, d, s); }
        long send(int fd, const void* d, std::size_t s) noexcept override { return os_.send(fd, d, s); }
        long send_message(int fd, const msghdr& m) noexcept override { return os_.send_message(fd, m); }
        int create_pipe(int (&ends)[2]) noexcept override { return os_.create_pipe(ends); }
        long receive_to_pipe(int fd, int p, std::size_t s) noexcept override { return os_.receive_to_pipe(fd, p, s); }
        long send_from_pipe(int fd, int p, std::size_t s) noexcept override { return os_.send_from_pipe(fd, p, s); }
        long send_file(int fd, int f, std::uint64_t o, std::size_t s) noexcept override {
            return os_.send_file(fd, f, o, s);
        }
        int close(int fd) noexcept override { return os_.close(fd); }
        int create_poller() noexcept override { return os_.create_poller(); }
        int control(int poller, registration what, int fd, cove::readiness_event event) noexcept override {
            if (what == registration::add) added.push_back(std::uint64_t{event.data});
            return os_.control(poller, what, fd, event);
        }
        int create_event() noexcept override { return os_.create_event(); }
        int signal_event(int fd) noexcept override { return os_.signal_event(fd); }
        int subscribe(int s, cove::signal_mailbox& m) noexcept override { return os_.subscribe(s, m); }
        void unsubscribe(int s, cove::signal_mailbox& m) noexcept override { os_.unsubscribe(s, m); }
        std::uint64_t random() noexcept override { return os_.random(); }
        int processors(int* numbers, int numbers_max) noexcept override { return os_.processors(numbers, numbers_max); }
        int pin(int processor) noexcept override { return os_.pin(processor); }
        int unpin() noexcept override { return os_.unpin(); }
        int wait(int poller, cove::readiness_event* events, int events_max, cove::duration timeout) noexcept override {
            if (replay.empty()) return os_.wait(poller, events, events_max, timeout);
            events[0] = {cove::kernel::event_in | cove::kernel::event_out, replay.back()};
            replay.pop_back();
            return 1;
        }
        test::test_kernel& os_;
        std::vector<std::uint64_t> added;
        std::vector<std::uint64_t> replay;
    } os(real);

    auto body = [&os, &real]() -> cove::task<> {
        int ended = 0;
        {
            socket_pair gone;
            cove::task_group group;
            group.spawn(reads(gone.near, ended));
            co_await cove::yield();
        }
        socket_pair alive;
        cove::task_group group;
        group.spawn(reads(alive.near, ended));
        co_await cove::yield();
        REQUIRE(os.added.size() == 3);  // the loop's own, the old one, the new one
        CHECK(static_cast<std::uint32_t>(os.added[1]) == static_cast<std::uint32_t>(os.added[2]));  // the same slot
        const long before = real.calls["receive"];
        os.replay = {os.added[1], os.added[1] + 1'000'000, ~std::uint64_t{1}};
        co_await cove::sleep_for(1s);
        CHECK(real.calls["receive"] == before);
        CHECK(ended == 0);
        os.replay = {os.added[2]};
        co_await cove::sleep_for(1s);
        CHECK(real.calls["receive"] == before + 1);  // a true event, though a spurious one
        CHECK(ended == 0);
        alive.send("x");
        co_await group.join();
        CHECK(ended == 1);
    };
    cove::run_options options;
    options.os = &os;
    options.stop_on_signals = false;
    cove::run(body(), options);
}

TEST_CASE("more descriptors than one batch of events holds are all served, and all closed from one place") {
    auto body = []() -> cove::task<> {
        constexpr int count = 400;
        std::vector<std::unique_ptr<socket_pair>> connections;
        int woken = 0;
        cove::task_group group;
        for (int i = 0; i < count; ++i) {
            connections.push_back(std::make_unique<socket_pair>());
            group.spawn(reads(connections.back()->near, woken));
        }
        co_await cove::yield();
        for (const auto& each : connections) each->send("x");
        co_await group.join();
        CHECK(woken == count);

        int closed = 0;
        auto closes_all = [&](cove::descriptor& own) -> cove::task<> {
            const auto outcome = co_await cove::as_result(receive(own));
            if (outcome)
                for (const auto& each : connections) each->near.close();
            else if (outcome.error() == cove::errc::closed)
                ++closed;
        };
        for (const auto& each : connections) group.spawn(closes_all(each->near));
        co_await cove::yield();
        for (const auto& each : connections) each->send("x");
        co_await group.join();
        CHECK(closed == count - 1);
    };
    test::run_on_linux(body());
}

TEST_CASE("an operation whose descriptor was closed behind our back stays cancellable, and the loop idle") {
    auto body = []() -> cove::task<> {
        socket_pair victim;
        int ended = 0;
        cove::task_group group;
        group.spawn(reads(victim.near, ended));
        co_await cove::yield();
        ::close(victim.near.number());
        CHECK(::send(victim.far.number(), "x", 1, MSG_NOSIGNAL) < 0);
        const auto turns = cove::loop::current().counters().turns;
        co_await cove::sleep_for(1h);
        CHECK(cove::loop::current().counters().turns - turns < 10);
        group.cancel();
        co_await group.join();
        CHECK(ended == 0);
        // The number is nobody's now: cove must not close what may be a stranger's.
        CHECK(victim.near.release() >= 0);
    };
    test::run_on_linux(body());
}

TEST_CASE(
    "where a copy of a descriptor that was closed behind our back lives on, its events do not keep the loop busy") {
    auto body = []() -> cove::task<> {
        socket_pair victim;
        std::error_code error;
        auto reads_error = [&]() -> cove::task<> {
            const auto outcome = co_await cove::as_result(receive(victim.near));
            error = outcome.error();
        };
        cove::task_group group;
        group.spawn(reads_error());
        co_await cove::yield();
        const int copy = ::dup(victim.near.number());
        ::close(victim.near.number());
        victim.send("x");
        const auto turns = cove::loop::current().counters().turns;
        co_await cove::sleep_for(1h);
        CHECK(cove::loop::current().counters().turns - turns < 10);
        co_await group.join();
        CHECK(error == std::errc::bad_file_descriptor);
        CHECK(victim.near.release() >= 0);
        ::close(copy);
    };
    test::run_on_linux(body());
}

TEST_CASE("a forked child that ends its copies of cove's sockets does the parent no harm") {
    auto body = []() -> cove::task<> {
        socket_pair line;
        long bytes = 0;
        cove::task_group group;
        group.spawn(reads_all(line.near, bytes));
        co_await cove::yield();
        const pid_t child = ::fork();
        if (child == 0) {
            line.near.close();
            ::_exit(0);
        }
        int status = -1;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(status == 0);
        line.send("x");
        co_await cove::sleep_for(1s);
        CHECK(bytes == 1);
        REQUIRE(::shutdown(line.far.number(), SHUT_WR) == 0);
        co_await group.join();
    };
    test::run_on_linux(body());
}

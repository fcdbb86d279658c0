// Sending files: all of the range or an error, however the kernel cuts it up.

#include <cove/net/tcp.hpp>

#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <support/file.hpp>
#include <support/net.hpp>
#include <support/sim.hpp>
#include <support/sweep.hpp>

#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <optional>
#include <string>

using namespace std::chrono_literals;
using cove::task;
using test::file_of;

namespace {

std::string pattern(std::size_t size) {
    std::string made(size, '\0');
    for (std::size_t i = 0; i < size; ++i) made[i] = static_cast<char>(i * 31 + i / 251 + i / 65'537);
    return made;
}

task<> send_and_finish(cove::tcp_stream& to, int fd, std::uint64_t offset, std::uint64_t size, std::uint64_t& written) {
    co_await to.send_file(fd, offset, size, written);
    to.shutdown_write();
}

}  // namespace

TEST_CASE("any part of a file arrives whole, and its position stays") {
    const std::string bytes = pattern(100'000);
    const file_of file(bytes);
    const auto position = ::lseek(file.fd(), 0, SEEK_CUR);
    test::within([&]() -> task<> {
        for (const std::size_t offset : {0U, 1U, 4095U, 4096U, 99'999U, 100'000U}) {
            test::stream_pair pair = co_await test::connected_pair();
            std::uint64_t written = 77;
            co_await send_and_finish(pair.left, file.fd(), offset, bytes.size() - offset, written);
            CHECK(written == bytes.size() - offset);
            const std::string all = co_await test::read_all(pair.right);
            CHECK(all == bytes.substr(offset));
        }
    });
    CHECK(::lseek(file.fd(), 0, SEEK_CUR) == position);
}

TEST_CASE("a file far larger than the socket's buffers is sent as fast as it is read, exactly") {
    const std::string bytes = pattern(8 * 1024 * 1024);
    const file_of file(bytes);
    for (const auto make : {test::connected_pair, test::narrow_pair}) {
        const std::size_t size = make == test::narrow_pair ? 300'000 : bytes.size();
        test::within([&]() -> task<> {
            auto made = make();
            test::stream_pair pair = co_await made;
            std::uint64_t written = 0;
            cove::task_group sending;
            sending.spawn(send_and_finish(pair.left, file.fd(), 0, size, written));
            const std::string all = co_await test::read_all(pair.right);
            CHECK((all == bytes.substr(0, size)));
            co_await sending.join();
            CHECK(written == size);
        });
    }
}

TEST_CASE("a file that is shorter than promised ends in end_of_stream, and says how much was sent") {
    const file_of file("only this");
    test::within([&]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        std::uint64_t written = 0;
        const auto error = co_await test::error_of(pair.left.send_file(file.fd(), 5, 100, written));
        CHECK(error == cove::errc::end_of_stream);
        CHECK(written == 4);
        co_await pair.left.send_file(file.fd(), 0, 4);
        pair.left.shutdown_write();
        const std::string all = co_await test::read_all(pair.right);
        CHECK(all == "thisonly");
    });
}

TEST_CASE("nothing to send is sent at once, and what is no file is an error") {
    test::within([&]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        co_await pair.left.send_file(-1, 0, 0);
        const auto bad = co_await test::error_of(pair.left.send_file(-1, 0, 1));
        CHECK(bad == std::errc::bad_file_descriptor);
        const auto socket = co_await test::error_of(pair.left.send_file(pair.right.native_handle(), 0, 1));
        CHECK(socket == std::errc::invalid_seek);
    });
}

TEST_CASE("sending a file to a peer that has closed gives an error, and no SIGPIPE") {
    const file_of file("in vain");
    const auto before = std::signal(SIGPIPE, SIG_DFL);
    test::within([&]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        const std::string peer = pair.left.peer_address().to_string();
        pair.right.close();
        std::error_code error;
        for (int i = 0; i < 100 && !error; ++i) {
            error = co_await test::error_of(pair.left.send_file(file.fd(), 0, 7));
            co_await cove::yield();
        }
        CHECK((error == std::errc::broken_pipe || error == std::errc::connection_reset));
        const auto again = co_await test::error_of(pair.left.send_file(file.fd(), 0, 7));
        CHECK(again == std::errc::broken_pipe);
    });
    std::signal(SIGPIPE, before);
}

TEST_CASE("a send_file may be canceled, or its socket closed, at any moment: the count is what has arrived") {
    test::sweep(
        [](test::stage& stage) {
            struct shared {
                test::stream_pair ends = test::make_narrow_pair();
                std::string bytes = pattern(30'000);
                file_of file{bytes};
                std::uint64_t written = 0;
                std::string read;
                bool closed = false;
            };
            auto& all = stage.make<shared>();
            stage.actor([&all]() -> task<> {
                const auto error =
                    co_await test::error_of(all.ends.left.send_file(all.file.fd(), 0, all.bytes.size(), all.written));
                CHECK((!error || error == cove::errc::closed));
                if (all.ends.left.is_open()) all.ends.left.shutdown_write();
            });
            stage.actor([&all]() -> task<> {
                char some[1000];
                for (;;) {
                    const auto count = co_await cove::as_result(all.ends.right.read(some));
                    if (!count || *count == 0) co_return;
                    all.read.append(some, *count);
                }
            });
            stage.mishap([&all] {
                all.closed = true;
                all.ends.left.close();
            });
            stage.unblock([&] {
                if (all.ends.left.is_open() && !stage.is_alive(0)) all.ends.left.shutdown_write();
                if (stage.fate_of(1) != test::stage::fate::unharmed) {
                    all.closed = true;
                    all.ends.left.close();
                }
            });
            stage.check([&] {
                CHECK(all.read == all.bytes.substr(0, all.read.size()));
                char rest[4096];
                for (ssize_t count = 0;
                     (count = ::recv(all.ends.right.native_handle(), rest, sizeof rest, MSG_DONTWAIT)) > 0;)
                    all.read.append(rest, static_cast<std::size_t>(count));
                CHECK(all.read == all.bytes.substr(0, all.written));
            });
        },
        5ms);
}

TEST_CASE("in a simulated world a file goes out whole, whatever the weather") {
    const std::string bytes = pattern(500'000);
    const file_of file(bytes);
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        cove::sim::world_options options;
        options.faults.set_harmless(0.05);
        std::string got;
        test::two_hosts hosts(
            [&](cove::tcp_stream peer) -> task<> {
                co_await peer.send_file(file.fd(), 0, bytes.size());
                co_await peer.close_gracefully();
            },
            [&](cove::tcp_stream peer) -> task<> { got = co_await test::read_to_end(peer); }, options, seed);
        hosts.world.run();
        CHECK((got == bytes));
    }
}

// Much data and many clients, every byte checked; and that an echoed message allocates nothing.

#include <cove/net/line_reader.hpp>
#include <cove/net/message.hpp>
#include <cove/net/outbox.hpp>
#include <cove/net/serve.hpp>
#include <cove/net/tcp.hpp>

#include <cove/runtime/detail/frame_recycler.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <support/allocations.hpp>
#include <support/net.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

using cove::task;

namespace {

constexpr std::size_t mebibyte = 1024 * 1024;

// The byte that stands at a position of a client's stream.
char byte_at(std::uint64_t position, unsigned client) {
    return static_cast<char>(((position + client * 7919U) * 0x9E37'79B9'7F4A'7C15U) >> 56);
}

// Sizes of 1 to max bytes; the same in every run.
class pieces {
public:
    explicit pieces(std::size_t max) noexcept : max_(max) {}
    std::size_t next() noexcept {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return 1 + (state_ >> 33) % max_;
    }

private:
    std::uint64_t state_ = 1;
    std::size_t max_;
};

task<> echo_in_pieces(cove::tcp_stream& peer, std::size_t piece_max) {
    std::vector<char> bytes(piece_max);
    pieces sizes(piece_max);
    while (const std::size_t count = co_await peer.read({bytes.data(), sizes.next()}))
        co_await peer.write({bytes.data(), count});
    peer.shutdown_write();
}

task<> send(cove::tcp_stream& to, std::size_t total, std::size_t piece_max, unsigned client) {
    std::string piece;
    pieces sizes(piece_max);
    for (std::uint64_t sent = 0; sent < total; sent += piece.size()) {
        piece.resize(std::min<std::size_t>(sizes.next(), total - sent));
        for (std::size_t i = 0; i < piece.size(); ++i) piece[i] = byte_at(sent + i, client);
        co_await to.write(piece);
    }
    to.shutdown_write();
}

// How many bytes came before the first wrong one, or in all.
task<> check(cove::tcp_stream& from, std::size_t piece_max, unsigned client, std::size_t& right) {
    std::vector<char> bytes(piece_max);
    pieces sizes(piece_max);
    right = 0;
    while (const std::size_t count = co_await from.read({bytes.data(), sizes.next()}))
        for (std::size_t i = 0; i < count; ++i, ++right)
            if (bytes[i] != byte_at(right, client)) co_return;
}

task<> exchange(const cove::address& where, std::size_t total, std::size_t piece_max, unsigned client, int& correct) {
    cove::tcp_stream stream = co_await cove::tcp_stream::connect(where);
    std::size_t right = 0;
    cove::task_group both;
    both.spawn(send(stream, total, piece_max, client));
    both.spawn(check(stream, piece_max, client, right));
    co_await both.join();
    if (right == total) ++correct;
}

task<> echo_session(cove::tcp_stream peer) { co_await echo_in_pieces(peer, 5000); }

void transfer(std::size_t total, std::size_t server_piece_max, std::size_t client_piece_max, bool narrow = false) {
    CAPTURE(server_piece_max);
    CAPTURE(client_piece_max);
    const bool is_long = std::getenv("COVE_LONG_TESTS") != nullptr;
    test::test_kernel os;
    os.jump = false;
    std::size_t right = 0;
    const auto body = [&]() -> task<> {
        auto made = narrow ? test::narrow_pair() : test::connected_pair();
        test::stream_pair pair = co_await made;
        cove::task_group group;
        group.spawn(echo_in_pieces(pair.left, server_piece_max));
        group.spawn(send(pair.right, total, client_piece_max, 0));
        group.spawn(check(pair.right, client_piece_max, 0, right));
        co_await group.join();
    };
    if (is_long)
        test::run(body(), os);
    else
        test::within(body, os);
    CHECK(right == total);
}

void many_clients(int count, std::size_t total) {
    test::within([&]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        const cove::address where = listener.local_address();
        cove::task_group server, clients;
        server.spawn(cove::serve(std::move(listener), echo_session));
        int correct = 0;
        for (int i = 0; i < count; ++i) clients.spawn(exchange(where, total, 3000, static_cast<unsigned>(i), correct));
        co_await clients.join();
        CHECK(correct == count);
        server.cancel();
        co_await server.join();
    });
}

}  // namespace

TEST_CASE("an echo in pieces of 1 to 7 bytes through the smallest buffers is exact") {
    transfer(std::getenv("COVE_LONG_TESTS") != nullptr ? 64 * mebibyte : mebibyte / 4, 7, 7, true);
}

TEST_CASE("an echo of many megabytes is exact, also where one side's pieces are far smaller than the other's") {
    transfer(64 * mebibyte, 100'000, 300'000);
    transfer(mebibyte, 7, 100'000);
    transfer(mebibyte, 100'000, 7);
}

TEST_CASE("20 clients at once get their own bytes back") { many_clients(20, 500'000); }

TEST_CASE("1,000 clients at once get their own bytes back") {
    rlimit before{};
    CHECK(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit enough = before;
    enough.rlim_cur = std::min<rlim_t>(before.rlim_max, 4096);
    CHECK(::setrlimit(RLIMIT_NOFILE, &enough) == 0);
    many_clients(1000, 5'000);
    CHECK(::setrlimit(RLIMIT_NOFILE, &before) == 0);
}

#ifndef COVE_ADDRESS_SANITIZER  // under which every coroutine frame comes from the heap

namespace {

task<> echo_by_read(cove::tcp_stream& peer) {
    char bytes[1024];
    while (const std::size_t count = co_await peer.read(bytes)) co_await peer.write({bytes, count});
}

task<> echo_by_receive(cove::tcp_stream& peer) {
    while (cove::buffer received = co_await peer.receive()) co_await peer.write(received.view());
}

// Exchanges messages and returns how often memory was allocated meanwhile, once everything is warm.
long allocations_of(task<> (*echo)(cove::tcp_stream&)) {
    long start = 0, made = -1;
    test::within([&]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        cove::task_group group;
        group.spawn(echo(pair.left));
        char bytes[64];
        for (int i = 0; i < 1100; ++i) {
            if (i == 100) start = test::allocations();
            co_await pair.right.write("a message");
            co_await pair.right.read_exactly({bytes, 9});
        }
        made = test::allocations() - start;
        pair.right.close();
        co_await group.join();
    });
    return made;
}

}  // namespace

TEST_CASE("an echoed message allocates nothing" * doctest::skip(!test::counts_allocations)) {
    CHECK(allocations_of(echo_by_read) == 0);
    CHECK(allocations_of(echo_by_receive) == 0);
    const long before = test::allocations();
    const std::vector<int> counted(100);
    test::escape(counted.data());
    CHECK(test::allocations() == before + 1);  // the count counts
}

namespace {

using room = std::vector<cove::outbox*>;

task<> pass_lines_on(cove::tcp_stream& from, const room& members) {
    cove::line_reader lines(from, 1024);
    while (const auto line = co_await lines.read_line()) {
        const cove::message text({*line, "\n"});
        for (cove::outbox* each : members) each->try_push(text);
    }
}

// Sends lines into a room of three, which everybody reads, and returns how often memory was allocated meanwhile.
long allocations_of_chat() {
    long start = 0, made = -1;
    test::within([&]() -> task<> {
        constexpr std::size_t size = 3;
        std::vector<test::stream_pair> pairs;
        for (std::size_t i = 0; i < size; ++i) pairs.push_back(co_await test::connected_pair());
        cove::outbox boxes[size];
        const room members{&boxes[0], &boxes[1], &boxes[2]};
        cove::task_group group;
        for (std::size_t i = 0; i < size; ++i) {
            group.spawn(pass_lines_on(pairs[i].left, members));
            group.spawn(boxes[i].write_to(pairs[i].left));
        }
        char bytes[64];
        for (std::size_t round = 0; round < 1100; ++round) {
            if (round == 100) start = test::allocations();
            co_await pairs[round % size].right.write("a line of a chat\n");
            for (std::size_t i = 0; i < size; ++i) co_await pairs[i].right.read_exactly({bytes, 17});
        }
        made = test::allocations() - start;
        for (std::size_t i = 0; i < size; ++i) boxes[i].close();
        for (std::size_t i = 0; i < size; ++i) pairs[i].right.close();
        co_await group.join();
    });
    return made;
}

}  // namespace

TEST_CASE("a line that goes to all members of a room allocates nothing" * doctest::skip(!test::counts_allocations)) {
    CHECK(allocations_of_chat() == 0);
}

#endif

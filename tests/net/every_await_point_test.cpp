// Every operation of the net floor, struck at every await point, and with every descriptor closed at every await point:
// no byte is lost, doubled or out of order, nothing leaks, nobody is left waiting.

#include <cove/net/line_reader.hpp>
#include <cove/net/outbox.hpp>
#include <cove/net/serve.hpp>
#include <cove/net/tcp.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/readiness.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/select.hpp>
#include <cove/runtime/signals.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/net.hpp>
#include <support/sweep.hpp>

#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace std::chrono_literals;
using test::stage;

namespace {

constexpr cove::duration patience = 5ms;

std::string numbered_bytes(std::size_t size) {
    std::string text;
    for (int i = 0; text.size() < size; ++i) text += std::to_string(i) + '\n';
    text.resize(size);
    return text;
}

// A connection, what was to go over it, and what has.
struct wire {
    wire() : ends(test::make_narrow_pair()) {}

    test::stream_pair ends;
    std::string to_send = numbered_bytes(20'000);
    std::size_t written = 0;
    std::string read;
    bool closed = false;  // by a mishap: what was in the kernel is gone then

    void close(cove::tcp_stream& end) {
        closed = true;
        end.close();
    }

    // What has been written is what has been read and what can still be read, byte for byte.
    void check() {
        CHECK(read == to_send.substr(0, read.size()));
        if (closed) return;
        char rest[4096];
        for (;;) {
            const auto count = ::recv(ends.right.native_handle(), rest, sizeof rest, MSG_DONTWAIT);
            if (count <= 0) break;
            read.append(rest, static_cast<std::size_t>(count));
        }
        CHECK(read == to_send.substr(0, written));
    }
};

// Awaits an operation that may fail because its descriptor was closed, here or at the other end.
template <class Operation>
cove::task<bool> survives(Operation operation) {
    const auto result = co_await cove::as_result(std::move(operation));
    if (result) co_return true;
    const std::error_code error = result.error();
    const bool expected = error == cove::errc::closed || error == cove::errc::end_of_stream ||
                          error == std::errc::broken_pipe || error == std::errc::connection_reset ||
                          error == std::errc::not_connected || error == std::errc::connection_refused;
    CHECK_MESSAGE(expected, error.message());
    co_return false;
}

// Half-closes, if there is anything left to close.
void finish(cove::tcp_stream& end) {
    try {
        if (end.is_open()) end.shutdown_write();
    } catch (const std::system_error& error) {
        CHECK(error.code() == std::errc::not_connected);
    }
}

// Sends all in one of the ways there are, and then the end of the stream.
using sender = cove::task<> (*)(wire&);

cove::task<> write_whole(wire& line) { co_await survives(line.ends.left.write(line.to_send, line.written)); }

cove::task<> write_parts(wire& line) {
    const std::string_view all = line.to_send;
    const std::vector<std::string_view> parts{all.substr(0, 1), {}, all.substr(1, 5000), all.substr(5001)};
    co_await survives(line.ends.left.write(parts, line.written));
}

cove::task<> write_piecewise(wire& line) {
    std::string_view left = line.to_send;
    while (!left.empty()) {
        const auto count = co_await cove::as_result(line.ends.left.write_some(left.substr(0, 700)));
        if (!count) co_return;
        left.remove_prefix(*count);
        line.written += *count;
    }
}

// Receives all in one of the ways there are.
using receiver = cove::task<> (*)(wire&);

cove::task<> read_pieces(wire& line) {
    char some[1000];
    for (;;) {
        const auto count = co_await cove::as_result(line.ends.right.read(some));
        if (!count || *count == 0) co_return;
        line.read.append(some, *count);
    }
}

cove::task<> receive_buffers(wire& line) {
    for (;;) {
        const auto part = co_await cove::as_result(line.ends.right.receive());
        if (!part || !*part) co_return;
        line.read += part->view();
    }
}

cove::task<> read_blocks(wire& line) {
    char block[3000];
    bool goes_on = true;
    while (goes_on) {
        std::size_t got = 0;
        // What was taken counts, whether the block was filled or not, and whatever becomes of this frame.
        struct keep {
            wire& line;
            const char* block;
            const std::size_t& got;
            ~keep() { line.read.append(block, got); }
        } const guard{line, block, got};
        goes_on = co_await survives(line.ends.right.read_exactly(block, got));
    }
}

void send_and_receive(stage& stage, sender send, receiver receive) {
    auto& line = stage.make<wire>();
    stage.actor([&line, send]() -> cove::task<> {
        co_await send(line);
        finish(line.ends.left);
    });
    stage.actor([&line, receive]() -> cove::task<> { return receive(line); });
    stage.mishap([&] { line.close(line.ends.left); });
    stage.mishap([&] { line.close(line.ends.right); });
    stage.unblock([&] {
        // One is gone: the other learns it by the end of the stream, or by having room.
        finish(line.ends.left);
        if (stage.fate_of(1) != stage::fate::unharmed) line.close(line.ends.right);
    });
    stage.check([&] { line.check(); });
}

}  // namespace

TEST_CASE("what is written in any way and read in any way arrives whole, whoever is struck and whatever is closed") {
    for (const sender send : {write_whole, write_parts, write_piecewise})
        for (const receiver receive : {read_pieces, receive_buffers, read_blocks})
            test::sweep([&](stage& stage) { send_and_receive(stage, send, receive); }, patience);
}

TEST_CASE("lines are read whole, however often reading is canceled") {
    test::sweep(
        [](stage& stage) {
            auto& line = stage.make<wire>();
            auto& reader = stage.make<cove::line_reader<cove::tcp_stream>>(line.ends.right);
            stage.actor([&]() -> cove::task<> {
                co_await write_whole(line);
                finish(line.ends.left);
            });
            stage.actor([&]() -> cove::task<> {
                for (;;) {
                    // Every wait is cut short at first, and gone on with.
                    auto next = co_await cove::move_on_after(0s, cove::as_result(reader.read_line()));
                    if (!next) next = co_await cove::as_result(reader.read_line());
                    if (!*next || !**next) co_return;
                    line.read += ***next;
                    line.read += '\n';
                }
            });
            stage.mishap([&] { line.close(line.ends.left); });
            stage.mishap([&] { line.close(line.ends.right); });
            stage.unblock([&] {
                finish(line.ends.left);
                if (stage.fate_of(1) != stage::fate::unharmed) line.close(line.ends.right);
            });
            stage.check([&] { CHECK(line.read == line.to_send.substr(0, line.read.size())); });
        },
        patience);
}

TEST_CASE("an outbox sends every message once and in order, and goes on after a cancellation") {
    test::sweep(
        [](stage& stage) {
            auto& line = stage.make<wire>();
            cove::outbox_options options;
            options.messages_max = 3;
            options.policy = cove::when_full::wait;
            auto& box = stage.make<cove::outbox>(options);
            stage.actor([&]() -> cove::task<> {
                for (std::size_t at = 0; at < line.to_send.size(); at += 1000) {
                    cove::message next(std::string_view(line.to_send).substr(at, 1000));
                    const bool pushed = co_await box.push(std::move(next));
                    if (!pushed) co_return;
                    line.written += std::min<std::size_t>(1000, line.to_send.size() - at);
                }
                box.close();
            });
            stage.actor([&]() -> cove::task<> {
                // Cut short again and again, it goes on at the very byte.
                bool done = false;
                for (int i = 0; i < 5 && !done; ++i) {
                    const auto ended = co_await cove::move_on_after(0s, survives(box.write_to(line.ends.left)));
                    done = ended.has_value();
                    if (!done) co_await cove::yield();
                }
                if (!done) co_await survives(box.write_to(line.ends.left));
                co_await box.finish(line.ends.left, "bye");
            });
            stage.actor([&]() -> cove::task<> { return read_pieces(line); });
            stage.mishap([&] { line.close(line.ends.left); });
            stage.mishap([&] { line.close(line.ends.right); });
            stage.unblock([&] {
                box.close();
                finish(line.ends.left);
                if (stage.fate_of(2) != stage::fate::unharmed) line.close(line.ends.right);
            });
            stage.check([&] {
                if (line.read.ends_with("bye")) line.read.resize(line.read.size() - 3);
                CHECK(line.read == line.to_send.substr(0, line.read.size()));
                if (stage.all_unharmed() && !line.closed) CHECK(line.read == line.to_send);
            });
        },
        patience);
}

TEST_CASE("a connection is made, used and closed, whoever is struck and whatever is closed") {
    test::sweep(
        [](stage& stage) {
            struct state {
                cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
                cove::address where = listener.local_address();
                std::optional<cove::tcp_stream> server;
                std::optional<cove::tcp_stream> client;
                std::string answer;
                bool closed = false;
            };
            auto& shared = stage.make<state>();
            stage.actor([&]() -> cove::task<> {
                auto accepted = co_await cove::as_result(shared.listener.accept());
                if (!accepted) co_return;
                shared.server = std::move(*accepted);
                char some[64];
                for (;;) {
                    const auto count = co_await cove::as_result(shared.server->read(some));
                    if (!count || *count == 0) break;
                    if (!co_await survives(shared.server->write({some, *count}))) break;
                }
                co_await shared.server->close_gracefully(1s);
            });
            stage.actor([&]() -> cove::task<> {
                auto connected = co_await cove::as_result(cove::tcp_stream::connect(shared.where));
                if (!connected) co_return;
                shared.client = std::move(*connected);
                if (!co_await survives(shared.client->write("hello"))) co_return;
                finish(*shared.client);
                char some[64];
                for (;;) {
                    const auto count = co_await cove::as_result(shared.client->read(some));
                    if (!count || *count == 0) break;
                    shared.answer.append(some, *count);
                }
            });
            const auto close = [&shared](auto& end) {
                shared.closed = true;
                if (end) end->close();
            };
            stage.mishap([&shared] {
                shared.closed = true;
                shared.listener.close();
            });
            stage.mishap([&shared, close] { close(shared.server); });
            stage.mishap([&shared, close] { close(shared.client); });
            stage.unblock([&shared, close] {
                shared.listener.close();
                close(shared.server);
                close(shared.client);
            });
            stage.check([&] {
                CHECK(shared.answer == std::string_view("hello").substr(0, shared.answer.size()));
                if (stage.all_unharmed() && !shared.closed) CHECK(shared.answer == "hello");
            });
        },
        patience);
}

TEST_CASE("a server's sessions end in order, whoever is struck") {
    test::sweep(
        [](stage& stage) {
            struct state {
                cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
                cove::address where = listener.local_address();
                int sessions = 0;
                std::vector<cove::tcp_stream*> clients;
            };
            auto& shared = stage.make<state>();
            auto& server = stage.make<std::optional<cove::cancel_scope>>(std::in_place);
            stage.actor([&]() -> cove::task<> {
                struct counted {
                    int& count;
                    ~counted() { --count; }
                };
                auto echo = [&shared](cove::tcp_stream peer) -> cove::task<> {
                    const counted here{++shared.sessions};
                    char some[64];
                    while (const std::size_t count = co_await peer.read(some)) co_await peer.write({some, count});
                };
                co_await server->run(cove::serve(std::move(shared.listener), echo));
            });
            for (int i = 0; i < 2; ++i) {
                stage.actor([&shared]() -> cove::task<> {
                    auto connected = co_await cove::as_result(cove::tcp_stream::connect(shared.where));
                    if (!connected) co_return;
                    if (!co_await survives(connected->write("hello"))) co_return;
                    char answer[5];
                    co_await survives(connected->read_exactly(answer));
                });
            }
            stage.unblock([&] {
                server->cancel();
                shared.listener.close();
            });
            stage.check([&] { CHECK(shared.sessions == 0); });
        },
        patience);
}

TEST_CASE("select over a socket, a signal and a timer takes no byte that it does not give") {
    test::sweep(
        [](stage& stage) {
            auto& line = stage.make<wire>();
            line.to_send = numbered_bytes(3000);
            stage.actor([&]() -> cove::task<> {
                co_await write_piecewise(line);
                finish(line.ends.left);
            });
            stage.actor([&]() -> cove::task<> {
                cove::signal_set hang_up{SIGHUP};
                char some[100];
                try {
                    for (int ticks = 0; ticks < 3;) {
                        auto first =
                            co_await cove::select(hang_up.next(), cove::sleep_for(1ms), line.ends.right.read(some));
                        if (first.index() != 2) {
                            ++ticks;
                            continue;
                        }
                        const std::size_t count = std::get<2>(first);
                        if (count == 0) co_return;
                        line.read.append(some, count);
                    }
                } catch (const std::system_error& error) {
                    CHECK(error.code() == cove::errc::closed);
                }
                co_await read_pieces(line);
            });
            stage.mishap([&] { line.close(line.ends.right); });
            stage.unblock([&] {
                finish(line.ends.left);
                if (stage.fate_of(1) != stage::fate::unharmed) line.close(line.ends.right);
            });
            stage.check([&] { line.check(); });
        },
        patience);
}

TEST_CASE("waiting for the readiness of a foreign descriptor can be struck anywhere") {
    test::sweep(
        [](stage& stage) {
            auto& line = stage.make<wire>();
            stage.actor([&]() -> cove::task<> {
                for (int i = 0; i < 3; ++i) {
                    co_await cove::writable(line.ends.left.native_handle());
                    (void)::send(line.ends.left.native_handle(), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
                }
            });
            stage.actor([&]() -> cove::task<> {
                for (int i = 0; i < 3; ++i) {
                    co_await cove::readable(line.ends.right.native_handle());
                    char one;
                    (void)::recv(line.ends.right.native_handle(), &one, 1, MSG_DONTWAIT);
                }
            });
            stage.unblock([&] { ::shutdown(line.ends.left.native_handle(), SHUT_RDWR); });
        },
        patience);
}

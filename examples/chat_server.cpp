// A chat room for people with telnet or nc: ./chat_server [ADDRESS], on :8080 unless given; then `nc 127.0.0.1 8080`.
// Each member has an outbox, so that a slow reader delays nobody: when its outbox is full, it is disconnected.

#include "chat_room.hpp"

#include <cove/net/line_reader.hpp>
#include <cove/net/outbox.hpp>
#include <cove/net/serve.hpp>
#include <cove/runtime/sleep.hpp>

#include <cstdio>
#include <string>

using namespace std::chrono_literals;

constexpr std::size_t members_max = 2000, line_bytes_max = 1024, unsent_bytes_max = 64 * 1024;
constexpr auto silence_max = 10min;
constexpr auto between_lines = 10ms;  // a flood is read no faster, so that it cannot fill the others' outboxes

cove::task<> listen_to(room& chat, member& me, cove::tcp_stream& peer) {
    cove::line_reader lines(peer, line_bytes_max);
    while (const auto line = co_await cove::timeout(silence_max, lines.read_line())) {
        if (*line == "/quit") break;
        me.outbox.try_push(cove::message(answer(chat, me, *line)));
        co_await cove::sleep_for(between_lines);
    }
    me.outbox.close();
}

cove::task<> session(room& chat, cove::tcp_stream peer) {
    if (chat.members.size() >= members_max) {
        cove::outbox refusal;
        co_await refusal.finish(peer, "* the room is full, come back later\n");
        co_return;
    }
    peer.set_unsent_max(unsent_bytes_max);
    member me(chat);
    std::string reason = "* bye\n";
    try {
        cove::task_group both;
        both.spawn(listen_to(chat, me, peer));
        both.spawn(me.outbox.write_to(peer));
        co_await both.join();
    } catch (const cove::canceled&) {
        reason = "* the server is shutting down\n";
    } catch (const std::system_error& error) {  // too long a line, too slow a reader, too long a silence; or it is gone
        reason = "* " + error.code().message() + '\n';
    }
    co_await me.outbox.finish(peer, reason);
}

cove::task<> serve_room(cove::tcp_listener listener) {
    room chat;
    cove::serve_options options;
    options.connections_max = members_max + 100;  // the last hundred are told that the room is full
    options.grace = 0s;                           // sessions are canceled at once, and say so
    auto enter = [&chat](cove::tcp_stream peer) { return session(chat, std::move(peer)); };
    co_await cove::serve(std::move(listener), enter, options);
}

int main(int argc, char** argv) try {
    auto listener = cove::tcp_listener::bind(argc > 1 ? argv[1] : ":8080");
    std::printf("chat: listening on %s\n", listener.local_address().to_string().c_str());
    std::fflush(stdout);
    return cove::run(serve_room(std::move(listener)));
} catch (const std::exception& error) {
    std::fprintf(stderr, "chat: %s\n", error.what());
    return 1;
}

// A chat client for a terminal: reads the keyboard and the socket at once, in one thread.
//
//   ./chat_client [ADDRESS]        ADDRESS is 127.0.0.1:8080 unless given

#include <cove/net/tcp.hpp>
#include <cove/runtime/readiness.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <unistd.h>
#include <cstdio>
#include <exception>

namespace {

using namespace std::chrono_literals;

// The terminal is not cove's, and it blocks: so wait until there is something to read, and read just that.
cove::task<> send_what_is_typed(cove::tcp_stream& server) {
    char typed[4096];
    for (;;) {
        co_await cove::readable(STDIN_FILENO);
        const ssize_t count = ::read(STDIN_FILENO, typed, sizeof typed);
        if (count <= 0) break;
        co_await server.write({typed, static_cast<std::size_t>(count)});
    }
    server.shutdown_write();  // the server hears that no more will come, and may still answer
}

cove::task<> show_what_is_said(cove::tcp_stream& server) {
    while (cove::buffer said = co_await server.receive()) {
        std::fwrite(said.view().data(), 1, said.size(), stdout);
        std::fflush(stdout);
    }
}

cove::task<> chat(const char* address) {
    auto server = co_await cove::timeout(10s, cove::tcp_stream::connect(address));
    cove::task_group typing;
    typing.spawn(send_what_is_typed(server));
    co_await show_what_is_said(server);  // at its end the group ends the typing
}

}  // namespace

int main(int argc, char** argv) try {
    return cove::run(chat(argc > 1 ? argv[1] : "127.0.0.1:8080"));
} catch (const std::exception& error) {
    std::fprintf(stderr, "chat: %s\n", error.what());
    return 1;
}

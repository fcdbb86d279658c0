// Broadcast chat on cove: ./chat PORT. Each line goes to all members, through an outbox each.

#include <cove/net/line_reader.hpp>
#include <cove/net/outbox.hpp>
#include <cove/net/serve.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

using room = std::vector<cove::outbox*>;

struct membership {
    room& members;
    cove::outbox& mine;
    membership(room& entered, cove::outbox& box) : members(entered), mine(box) { members.push_back(&mine); }
    membership(const membership&) = delete;
    membership& operator=(const membership&) = delete;
    ~membership() { std::erase(members, &mine); }
};

cove::task<> listen_to(room& members, cove::outbox& mine, cove::tcp_stream& peer) {
    cove::line_reader lines(peer, 1024);
    while (const auto line = co_await lines.read_line()) {
        const cove::message text({*line, "\n"});
        for (cove::outbox* each : members) each->try_push(text);
    }
    mine.close();
}

cove::task<> session(room& members, cove::tcp_stream peer) {
    cove::outbox_options options;
    options.messages_max = 16 * 1024;
    cove::outbox mine(options);
    const membership entered(members, mine);
    cove::task_group both;
    both.spawn(listen_to(members, mine, peer));
    both.spawn(mine.write_to(peer));
    co_await both.join();
}

cove::task<> serve_room(cove::tcp_listener listener) {
    room members;
    auto enter = [&members](cove::tcp_stream peer) { return session(members, std::move(peer)); };
    co_await cove::serve(std::move(listener), enter);
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 2) return 2;
    return cove::run(serve_room(cove::tcp_listener::bind(std::string("127.0.0.1:") + argv[1])));
} catch (const std::exception& error) {
    std::fprintf(stderr, "chat: %s\n", error.what());
    return 1;
}

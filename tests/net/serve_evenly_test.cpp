// A server on many loops: each session on one of them, evenly, and none lost when one of them stops.

#include <cove/net/serve_evenly.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/channel.hpp>
#include <cove/runtime/remote_channel.hpp>
#include <cove/runtime/remote_event.hpp>
#include <cove/runtime/sharded.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/net.hpp>
#include <support/threads.hpp>

#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

using namespace std::chrono_literals;
using cove::shard;
using cove::shard_listeners;
using cove::task;

namespace {

// Sends the shard's number, and then what it is sent.
auto echo_on(const shard& self) {
    return [&self](cove::tcp_stream peer) -> task<> {
        const char number = static_cast<char>('0' + self.index());
        co_await peer.write({&number, 1});
        char bytes[1024];
        while (const std::size_t count = co_await peer.read(bytes)) co_await peer.write({bytes, count});
    };
}

// A client that blocks its thread. What it reads: a byte, 0 for the end of the stream, or -errno.
class client {
public:
    explicit client(const cove::address& where) : socket_(where) {}
    int read() const {
        char byte = 0;
        const ssize_t count = ::recv(socket_.number(), &byte, 1, 0);
        return count < 0 ? -errno : count == 0 ? 0 : byte;
    }
    // Whether there is something to read.
    bool has_heard() const {
        char byte = 0;
        return ::recv(socket_.number(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
    }
    // Which shard serves it; -1 for none.
    int served_by() const {
        const int answer = read();
        return answer >= '0' ? answer - '0' : -1;
    }
    void say(std::string_view text) const { socket_.send(text); }
    bool echoes() const {
        say("x");
        return read() == 'x';
    }

private:
    test::raw_client socket_;
};

// A server on shards, as long as this stands or until all of them have ended, beside the test's own thread.
class server {
public:
    template <class Main>
    server(shard_listeners& listeners, Main main) {
        threads_.start([&listeners, main, this] {
            cove::sharded_options options;
            options.stop_on_signals = false;
            cove::run_sharded(
                listeners.count(),
                [this, main](shard& self) mutable -> task<> {
                    cove::task_group group;
                    group.spawn([main, &self]() mutable { return main(self); });
                    co_await cove::yield();
                    if (++begun_ == self.count()) all_begun_.open();
                    cove::task_group watch;
                    watch.spawn([this, &group]() -> task<> {
                        cove::remote_event stop = stop_;
                        co_await stop.wait();
                        group.cancel();
                    });
                    co_await cove::timeout(60s, group.join());
                },
                options);
        });
    }
    // Blocks until the mains of all shards have begun.
    void wait_until_all_serve() const { all_begun_.pass(); }
    void stop() { stop_.set(); }
    // Throws what run_sharded() has thrown.
    void join() { threads_.join(); }
    ~server() { stop(); }

private:
    std::atomic<unsigned> begun_{0};
    test::door all_begun_;
    cove::remote_event stop_;
    test::threads threads_;
};

// Waits, as long as a test may take at most, until something holds that other threads bring about.
template <class Predicate>
bool eventually(Predicate holds) {
    const cove::time_point end = cove::now() + 60s;
    while (!holds())
        if (cove::now() > end) return false;
    return true;
}

std::size_t most(const shard_listeners& listeners) {
    std::size_t found = 0;
    for (unsigned i = 0; i < listeners.count(); ++i) found = std::max(found, listeners.sessions(i));
    return found;
}
std::size_t least(const shard_listeners& listeners) {
    std::size_t found = listeners.sessions(0);
    for (unsigned i = 0; i < listeners.count(); ++i) found = std::min(found, listeners.sessions(i));
    return found;
}
std::size_t all_of(const shard_listeners& listeners) {
    std::size_t sum = 0;
    for (unsigned i = 0; i < listeners.count(); ++i) sum += listeners.sessions(i);
    return sum;
}

cove::evenly_options within(std::size_t uneven_max) {
    cove::evenly_options options;
    options.uneven_max = uneven_max;
    options.grace = 0s;
    return options;
}

}  // namespace

TEST_CASE("listeners share the one port that the kernel chose for the first of them") {
    shard_listeners listeners("127.0.0.1:0", 3);
    CHECK(listeners.count() == 3);
    CHECK(listeners.local_address().port() != 0);
    const client connected(listeners.local_address());
    CHECK_THROWS_AS(cove::tcp_listener::bind(listeners.local_address()), std::system_error);
    const shard_listeners as_many_as_processors("127.0.0.1:0");
    CHECK(as_many_as_processors.count() == cove::processors_allowed());
}

TEST_CASE("two hundred connections are served, and no shard has more than the threshold more than another") {
    for (const std::size_t uneven_max : {std::size_t{0}, std::size_t{1}, std::size_t{4}}) {
        shard_listeners listeners("127.0.0.1:0", 4);
        server serving(listeners, [&](shard& self) {
            return cove::serve_evenly(self, listeners, echo_on(self), within(uneven_max));
        });
        serving.wait_until_all_serve();
        std::vector<client> clients;
        std::vector<std::size_t> served(4);
        for (int i = 0; i < 200; ++i) clients.emplace_back(listeners.local_address());
        for (const client& each : clients) {
            const int by = each.served_by();
            REQUIRE(by >= 0);
            ++served[static_cast<std::size_t>(by)];
        }
        for (const client& each : clients) CHECK(each.echoes());
        for (unsigned i = 0; i < 4; ++i) CHECK(listeners.sessions(i) == served[i]);
        CHECK(most(listeners) - least(listeners) <= std::max(uneven_max, std::size_t{1}));
        clients.clear();
        CHECK(eventually([&] { return all_of(listeners) == 0; }));
        serving.stop();
        serving.join();
    }
}

TEST_CASE("where no threshold is passed each connection is served where the kernel has put it") {
    shard_listeners listeners("127.0.0.1:0", 2);
    server serving(listeners, [&](shard& self) {
        return cove::serve_evenly(self, listeners, echo_on(self), within(static_cast<std::size_t>(-1)));
    });
    std::vector<client> clients;
    for (int i = 0; i < 50; ++i) clients.emplace_back(listeners.local_address());
    for (const client& each : clients) CHECK(each.served_by() >= 0);
    CHECK(all_of(listeners) == 50);
}

TEST_CASE("connections_max holds on every shard, whoever accepts, and there is room again when sessions end") {
    shard_listeners listeners("127.0.0.1:0", 2);
    cove::evenly_options options = within(4);
    options.connections_max = 3;
    std::atomic<std::size_t> running[2] = {0, 0};
    std::atomic<std::size_t> peak{0};
    server serving(listeners, [&](shard& self) {
        const auto handler = [&, number = self.index()](cove::tcp_stream peer) -> task<> {
            const std::size_t now = ++running[number];
            struct leaves {
                std::atomic<std::size_t>& place;
                ~leaves() { --place; }
            } const guard{running[number]};
            for (std::size_t seen = peak; seen < now && !peak.compare_exchange_weak(seen, now);) {
            }
            co_await peer.write("s");
            char byte[1];
            co_await peer.read(byte);
        };
        return cove::serve_evenly(self, listeners, handler, options);
    });
    std::vector<client> clients;
    for (int i = 0; i < 40; ++i) clients.emplace_back(listeners.local_address());
    CHECK(eventually([&] { return running[0] + running[1] == 6; }));
    CHECK(all_of(listeners) == 6);
    // Whoever is served leaves, and makes room for another one.
    std::size_t served = 0;
    CHECK(eventually([&] {
        served += std::erase_if(clients, [](const client& each) { return each.has_heard(); });
        return clients.empty();
    }));
    CHECK(served == 40);
    CHECK(peak == 3);
}

TEST_CASE("canceled on all shards, each gives its sessions their grace") {
    shard_listeners listeners("127.0.0.1:0", 3);
    cove::evenly_options options = within(1);
    options.grace = 1h;
    std::atomic<int> in_order{0};
    server serving(listeners, [&](shard& self) {
        const auto handler = [&](cove::tcp_stream peer) -> task<> {
            co_await peer.write("s");
            char bytes[16];
            const std::size_t count = co_await peer.read(bytes);
            co_await peer.write({bytes, count});
            ++in_order;
        };
        return cove::serve_evenly(self, listeners, handler, options);
    });
    serving.wait_until_all_serve();
    std::vector<client> clients;
    for (int i = 0; i < 30; ++i) clients.emplace_back(listeners.local_address());
    for (const client& each : clients) CHECK(each.read() == 's');
    CHECK(least(listeners) > 0);
    serving.stop();
    // A connection that nobody has accepted by then is reset, and the port is free after that.
    CHECK(eventually([&] {
        try {
            const client late(listeners.local_address());
            late.say("x");
            return late.read() != 's';
        } catch (const std::system_error& error) {
            return error.code() == std::errc::connection_refused;
        }
    }));
    for (const client& each : clients) {
        CHECK(each.echoes());
        CHECK(each.read() == 0);
    }
    serving.join();
    CHECK(in_order >= 30);
    CHECK(all_of(listeners) == 0);
}

TEST_CASE("a shard that stops hands over what waits to be accepted, and the others go on") {
    for (int round = 0; round < 20 / test::scale + 1; ++round) {
        shard_listeners listeners("127.0.0.1:0", 2);
        cove::remote_event connected, begun;
        server serving(listeners, [&, connected, begun](shard& self) mutable -> task<> {
            if (self.index() == 1) {
                cove::evenly_options options = within(1);
                auto served = cove::serve_evenly(self, listeners, echo_on(self), options);
                begun.set();
                co_await served;
            } else {
                // Its listener has connections in its queue that it never gets to: it is canceled first.
                co_await begun.wait();
                co_await connected.wait();
                co_await cove::move_on_after(0s, cove::serve_evenly(self, listeners, echo_on(self), within(1)));
                co_await cove::sleep_for(1h);
            }
        });
        std::vector<client> clients;
        for (int i = 0; i < 40; ++i) clients.emplace_back(listeners.local_address());
        connected.set();
        for (const client& each : clients) {
            each.say("x");
            const int by = each.served_by();
            CHECK(by >= 0);  // 0: begun on the one that stops, and ended with its grace
            if (by == 1) CHECK(each.read() == 'x');
        }
    }
}

TEST_CASE("connections that are handed over to a shard which stops go on to another, or are closed; none is lost") {
    for (int round = 0; round < 100 / test::scale; ++round) {
        shard_listeners listeners("127.0.0.1:0", 3);
        std::atomic<int> sessions{0};
        server serving(listeners, [&](shard& self) -> task<> {
            const auto handler = [&, number = self.index()](cove::tcp_stream peer) -> task<> {
                ++sessions;
                co_await peer.write("s");
                char byte[1];
                co_await peer.read(byte);
            };
            auto served = cove::serve_evenly(self, listeners, handler, within(1));
            // 0 stays; 1 stops serving and lives on; 2 ends.
            if (self.index() == 0) co_await served;
            co_await cove::move_on_after(std::chrono::microseconds(100 * (round % 20)), std::move(served));
            if (self.index() == 1) co_await cove::sleep_for(1h);
        });
        std::vector<client> clients;
        int answered = 0;
        int ended = 0;
        for (int i = 0; i < 60; ++i) {
            try {
                clients.emplace_back(listeners.local_address());
            } catch (const std::system_error&) {  // of a listener that is being closed
                ++ended;
            }
        }
        // Each hears of its session, or of its end: nobody is left waiting. Those whose handshake was not over when their
        // listener was closed hear of it when they say something, and no sooner: the kernel has forgotten them.
        for (const client& each : clients) {
            each.say("x");
            const int first = each.read();
            first == 's' ? ++answered : ++ended;
        }
        CHECK(answered + ended == 60);
        clients.clear();
        CHECK(eventually([&] { return all_of(listeners) == 0; }));
        CHECK(answered <= sessions);
    }
}

TEST_CASE("a server that ends leaves no descriptor open, however its connections were handed over") {
    const auto lowest_free_descriptor = [] {
        const int fd = ::dup(STDERR_FILENO);
        ::close(fd);
        return fd;
    };
    const int before = lowest_free_descriptor();
    for (int round = 0; round < 30 / test::scale + 1; ++round) {
        shard_listeners listeners("127.0.0.1:0", 4);
        server serving(listeners,
                       [&](shard& self) { return cove::serve_evenly(self, listeners, echo_on(self), within(1)); });
        std::vector<client> clients;
        for (int i = 0; i < 50; ++i) clients.emplace_back(listeners.local_address());
        serving.stop();  // while they are being accepted
        serving.join();
        CHECK(all_of(listeners) == 0);
    }
    CHECK(lowest_free_descriptor() == before);
}

TEST_CASE("a shard that does not serve yet is handed nothing") {
    shard_listeners listeners("127.0.0.1:0", 2);
    cove::remote_event may_serve;
    server serving(listeners, [&, may_serve](shard& self) mutable -> task<> {
        if (self.index() == 1) co_await may_serve.wait();
        auto served = cove::serve_evenly(self, listeners, echo_on(self), within(1));
        co_await served;
    });
    std::vector<client> clients;
    for (int i = 0; i < 40; ++i) clients.emplace_back(listeners.local_address());
    CHECK(eventually([&] { return listeners.sessions(0) > 0; }));
    CHECK(listeners.sessions(1) == 0);
    may_serve.set();
    for (const client& each : clients) CHECK(each.served_by() >= 0);
    CHECK(all_of(listeners) == 40);
}

TEST_CASE("a handler's exception is reported by the shard that ran it, and ends its session only") {
    shard_listeners listeners("127.0.0.1:0", 2);
    static std::atomic<int> reported;
    reported = 0;
    cove::evenly_options options = within(1);
    options.on_error = [](std::exception_ptr) { ++reported; };
    server serving(listeners, [&](shard& self) {
        const auto handler = [](cove::tcp_stream peer) -> task<> {
            co_await peer.write("s");
            char byte[1];
            co_await peer.read(byte);
            if (byte[0] == 'x') throw std::runtime_error("a bad letter");
            co_await peer.write("t");
        };
        return cove::serve_evenly(self, listeners, handler, options);
    });
    const test::raw_client good(listeners.local_address()), bad(listeners.local_address());
    bad.send("x");
    CHECK(eventually([&] { return reported == 1; }));
    good.send("y");
    char answer[2] = {};
    CHECK(::recv(good.number(), answer, 2, MSG_WAITALL) == 2);
    CHECK(std::string_view(answer, 2) == "st");
}

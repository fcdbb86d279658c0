// serve_evenly(): a server on many loops, each of which accepts, with as many sessions on one as on the other.

#pragma once

#include <cove/net/address.hpp>
#include <cove/net/serve.hpp>
#include <cove/net/tcp.hpp>
#include <cove/runtime/sharded.hpp>
#include <cove/runtime/task.hpp>

#include <cstddef>
#include <memory>
#include <string_view>

namespace cove {

namespace detail {
class even_place;
}

struct evenly_options : serve_options {
    evenly_options() noexcept {}

    // A connection is handed over where its session would be one by which this shard has more than `uneven_max` more than
    // the one with the fewest; 0 is taken for 1. A hand-over costs an allocation and a wake-up of the other loop.
    std::size_t uneven_max = 4;
};

// Listeners that share one port (SO_REUSEPORT), one for each shard, and the numbers of sessions that the shards run.
//
// The kernel gives each connection to one of the listeners, by a hash of its addresses; it waits there until that one's shard
// accepts it. So every shard is to call serve_evenly(). Another process of the same user that shares the port in the same way
// is not refused: it takes a part of the connections.
// Concurrency: any thread. Lifetime: must outlive run_sharded().
class shard_listeners {
public:
    // Binds and listens, as tcp_listener::bind() does. shards = 0: as many as processors_allowed(). With port 0 the kernel
    // chooses one, which all of them share. Throws: what tcp_listener::bind() and processors_allowed() throw.
    explicit shard_listeners(const address& where, unsigned shards = 0,
                             const listen_options& options = listen_options());
    explicit shard_listeners(std::string_view where, unsigned shards = 0,
                             const listen_options& options = listen_options());
    shard_listeners(const shard_listeners&) = delete;
    shard_listeners& operator=(const shard_listeners&) = delete;
    ~shard_listeners();

    // How many there are: what to call run_sharded() with.
    unsigned count() const noexcept { return count_; }
    const address& local_address() const noexcept { return where_; }

    // How many sessions a shard runs, those that are on their way to it among them.
    std::size_t sessions(unsigned shard) const noexcept;

private:
    friend class detail::even_place;
    struct member;

    std::unique_ptr<member[]> members_;
    unsigned count_;
    address where_;
};

namespace detail {

// A shard's part of that: what it accepts goes to the one that has the fewest sessions, if it would have too many itself.
class even_place final : public session_place {
public:
    even_place(shard& self, shard_listeners& all, const evenly_options& options) noexcept;
    even_place(const even_place&) = delete;
    even_place& operator=(const even_place&) = delete;
    ~even_place() override;

    tcp_listener take_listener() noexcept;

    void open(session_set& sessions) noexcept override;
    bool is_full() const noexcept override;
    answer place(tcp_stream& accepted) noexcept override;
    void session_ended() noexcept override;
    void stop(tcp_listener& listener) noexcept override;

private:
    using member = shard_listeners::member;
    class reservation;
    struct crossing;

    static member* fewest(shard_listeners& all, const member* except) noexcept;
    static bool send(shard& self, shard_listeners& all, reservation there, tcp_stream& peer) noexcept;

    shard& self_;
    shard_listeners& all_;
    member& own_;
    session_set* sessions_ = nullptr;
    const std::size_t sessions_max_;
    const std::size_t uneven_max_;
};

}  // namespace detail

// Serves, on this shard, as serve() does, a share of the connections to a port: those that the kernel gives to this shard's
// listener, and those that others hand over, less those that this one hands over: see evenly_options.
//
// connections_max, grace and on_error are those of the shard that runs a session, whichever has accepted it. At
// connections_max a shard goes on accepting for those that are not there yet; once all are, what waits to be accepted by it
// waits for one of its own sessions to end.
// A shard that stops while others go on hands over what waits to be accepted, and what is just being handed over to it.
// What arrives in the very moment in which it closes its listener, or when no shard is left, is reset by the kernel, or, where
// the handshake was not over, forgotten: such a client gets ECONNRESET in answer to the first thing it says. With
// net.ipv4.tcp_migrate_req the kernel hands those over too.
// Cancellation and Throws: as serve(). Lifetime: listeners must outlive the run; shards and listeners are equally many.
// See ip-sysctl.rst of Linux, and `net/serve_evenly.cpp`.
template <class Handler>
task<> serve_evenly(shard& self, shard_listeners& listeners, Handler handler,
                    evenly_options options = evenly_options()) {
    auto maker = std::make_unique<detail::sessions_by<Handler>>(std::move(handler), options);
    auto place = std::make_unique<detail::even_place>(self, listeners, options);
    auto listener = place->take_listener();
    return detail::accept_sessions(std::move(listener), maker.release(), place.release());
}

}  // namespace cove

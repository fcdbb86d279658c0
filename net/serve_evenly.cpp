// The number of sessions of each shard is an atomic that stands on a cache line of its own. Whoever has accepted a connection
// looks at all of them and then raises one, its own or another's, if that is still what it has seen; so two shards that hand
// over at the same moment do not both choose the same one, and connections_max holds. What was counted for a shard is then
// posted to it. One that stops sets a bit in its number, which nobody raises after that; what was under way to it by then
// goes on to another one.

#include <cove/net/serve_evenly.hpp>

#include <cove/runtime/error.hpp>
#include <cove/runtime/kernel.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <exception>
#include <new>
#include <utility>

namespace cove {
namespace {

constexpr std::uint64_t closed = std::uint64_t{1} << 63;

}  // namespace

struct alignas(64) shard_listeners::member {
    // Returns whether there is room where the number is this; never in one that is closed.
    bool has_room(std::uint64_t number) const noexcept { return number < sessions_max.load(std::memory_order_relaxed); }
    bool has_room() const noexcept { return has_room(sessions.load(std::memory_order_relaxed)); }
    bool is_closed() const noexcept { return (sessions.load(std::memory_order_relaxed) & closed) != 0; }

    // Counts one more session, if the number is still what was seen.
    bool add_to(std::uint64_t seen) noexcept {
        return sessions.compare_exchange_weak(seen, seen + 1, std::memory_order_relaxed);
    }

    std::atomic<std::uint64_t> sessions{closed};
    std::atomic<std::uint64_t> sessions_max{0};
    unsigned index = 0;
    tcp_listener listener{descriptor()};
    detail::even_place* place = nullptr;  // for the shard's thread
};

shard_listeners::shard_listeners(std::string_view where, unsigned shards, const listen_options& options)
    : shard_listeners(address::parse(where), shards, options) {}

shard_listeners::shard_listeners(const address& where, unsigned shards, const listen_options& options)
    : count_(shards > 0 ? shards : processors_allowed()), where_(where) {
    members_ = std::make_unique<member[]>(count_);
    listen_options sharing = options;
    sharing.reuse_port = true;
    for (unsigned i = 0; i < count_; ++i) {
        members_[i].index = i;
        members_[i].listener = tcp_listener::bind(where_, sharing);
        where_ = members_[i].listener.local_address();
    }
}

shard_listeners::~shard_listeners() = default;

std::size_t shard_listeners::sessions(unsigned shard) const noexcept {
    if (shard >= count_) detail::misuse("there is no shard of this index");
    return members_[shard].sessions.load(std::memory_order_relaxed) & ~closed;
}

namespace detail {

// A session that is counted and has not begun.
class even_place::reservation {
public:
    explicit reservation(member& at) noexcept : at_(&at) {}
    reservation(reservation&& other) noexcept : at_(std::exchange(other.at_, nullptr)) {}
    reservation& operator=(reservation&&) = delete;
    ~reservation() { give_up(); }

    member& at() const noexcept { return *at_; }
    void give_up() noexcept {
        if (member* left = std::exchange(at_, nullptr)) left->sessions.fetch_sub(1, std::memory_order_relaxed);
    }
    // The session counts itself from now on.
    void use() noexcept { at_ = nullptr; }

private:
    member* at_;
};

// A connection on its way to another shard. Where it is dropped it is closed.
struct even_place::crossing {
    crossing(shard& s, shard_listeners& a, reservation r, tcp_stream&& p) noexcept
        : self(s), all(a), there(std::move(r)), peer(std::move(p)) {}

    void arrive() noexcept;

    shard& self;
    shard_listeners& all;
    reservation there;
    tcp_stream peer;
};

// On the thread of the shard it was sent to.
void even_place::crossing::arrive() noexcept {
    const member& at = there.at();
    if (!at.is_closed()) {
        session_set& sessions = *at.place->sessions_;
        there.use();
        try {
            sessions.begin(std::move(peer));
        } catch (const std::bad_alloc&) {
            if (sessions.options.on_error != nullptr) sessions.options.on_error(std::current_exception());
        }
        return;
    }
    there.give_up();
    while (member* next = fewest(all, nullptr)) {
        const std::uint64_t seen = next->sessions.load(std::memory_order_relaxed);
        if (!next->has_room(seen) || !next->add_to(seen)) continue;
        send(self, all, reservation(*next), peer);
        return;
    }
}

// Returns the one with the fewest sessions of those that have room; null if there is none.
even_place::member* even_place::fewest(shard_listeners& all, const member* except) noexcept {
    member* best = nullptr;
    std::uint64_t least = closed;
    for (unsigned i = 0; i < all.count_; ++i) {
        member& each = all.members_[i];
        const std::uint64_t number = each.sessions.load(std::memory_order_relaxed);
        if (&each == except || number >= least || !each.has_room(number)) continue;
        best = &each;
        least = number;
    }
    return best;
}

// Returns false, and the stream is still the caller's, where the shard has ended or memory is lacking.
bool even_place::send(shard& self, shard_listeners& all, reservation there, tcp_stream& peer) noexcept {
    const unsigned to = there.at().index;
    std::shared_ptr<crossing> sent;
    try {
        sent = std::make_shared<crossing>(self, all, std::move(there), std::move(peer));
        if (self.post(to, [sent] { sent->arrive(); })) return true;
    } catch (const std::bad_alloc&) {
    }
    if (sent != nullptr) peer = std::move(sent->peer);
    return false;
}

even_place::even_place(shard& self, shard_listeners& all, const evenly_options& options) noexcept
    : self_(self),
      all_(all),
      own_(all.members_[self.index() < all.count() ? self.index() : 0]),
      sessions_max_(options.connections_max),
      uneven_max_(std::max(options.uneven_max, std::size_t{1})) {
    if (self.count() != all.count()) misuse("serve_evenly() needs as many listeners as there are shards");
    if (own_.place != nullptr) misuse("serve_evenly() was called twice on a shard for the same listeners");
    own_.place = this;
}

even_place::~even_place() {
    own_.sessions.fetch_or(closed, std::memory_order_relaxed);
    own_.place = nullptr;
}

tcp_listener even_place::take_listener() noexcept { return std::move(own_.listener); }

void even_place::open(session_set& sessions) noexcept {
    sessions_ = &sessions;
    own_.sessions_max.store(std::min<std::uint64_t>(sessions_max_, closed), std::memory_order_relaxed);
    own_.sessions.fetch_and(~closed, std::memory_order_relaxed);
}

bool even_place::is_full() const noexcept { return fewest(all_, nullptr) == nullptr; }

session_place::answer even_place::place(tcp_stream& accepted) noexcept {
    bool stays = false;
    for (;;) {
        const std::uint64_t own = own_.sessions.load(std::memory_order_relaxed);
        const bool fits = own_.has_room(own);
        member* other = stays ? nullptr : fewest(all_, &own_);
        if (other != nullptr) {
            const std::uint64_t there = other->sessions.load(std::memory_order_relaxed);
            if (!fits || (own >= there && own + 1 - there > uneven_max_)) {
                if (!other->has_room(there) || !other->add_to(there)) continue;
                if (send(self_, all_, reservation(*other), accepted)) return answer::elsewhere;
                stays = true;
                continue;
            }
        }
        if (!fits) return answer::nowhere;
        if (own_.add_to(own)) return answer::here;
    }
}

void even_place::session_ended() noexcept { own_.sessions.fetch_sub(1, std::memory_order_relaxed); }

// The kernel resets what waits in the queue of a listener that is closed.
void even_place::stop(tcp_listener& listener) noexcept {
    constexpr int accepted_max = 65536;  // a flood does not keep it from stopping
    own_.sessions.fetch_or(closed, std::memory_order_relaxed);
    kernel& os = kernel::current();
    for (int i = 0; i < accepted_max && listener.is_open() && fewest(all_, &own_) != nullptr; ++i) {
        const int accepted = os.accept(listener.native_handle());
        if (accepted == -ECONNABORTED || accepted == -EINTR) continue;
        if (accepted < 0) return;
        tcp_stream peer{descriptor(accepted, os)};
        if (place(peer) != answer::elsewhere) return;
    }
}

}  // namespace detail
}  // namespace cove

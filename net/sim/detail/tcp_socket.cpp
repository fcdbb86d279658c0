// The calls of a program; what arrives is in tcp_arrival.cpp.

#include <cove/net/sim/detail/tcp_socket.hpp>

#include <cove/net/sim/detail/tcp_stack.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace cove::sim::detail {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t segment_max = 64 * 1024;
constexpr unsigned backlog_limit = 4096;  // net.core.somaxconn
constexpr int syn_retries = 6;  // net.ipv4.tcp_syn_retries: after 1, 3, 7, 15, 31 and 63 s, and given up after 127
constexpr duration default_patience = 924s;  // net.ipv4.tcp_retries2 of 15, for data that nobody acknowledges
constexpr duration first_probe = 200ms;      // TCP's shortest and longest wait before it asks again, RFC 6298
constexpr duration last_probe = 120s;
constexpr duration orphan_patience = 60s;  // net.ipv4.tcp_fin_timeout

}  // namespace

tcp_socket::tcp_socket(tcp_stack& home, int family, const tcp_options& inherited)
    : options(inherited), home_(home), family_(family), local_(family == AF_INET ? any_v4 : any_v6) {}

int tcp_socket::bind(endpoint where) {
    if (is_bound_ || state_ != state::closed) return -EINVAL;
    if (family_ == AF_INET6 && options.v6_only && where.is_v4()) return -EINVAL;
    chose_port_ = where.port != 0;
    const int bound = home_.bind(*this, where);
    if (bound < 0) return bound;
    is_bound_ = true;
    local_ = where;
    return 0;
}

int tcp_socket::listen(int backlog) {
    if (state_ != state::closed && state_ != state::listening) return -EINVAL;
    backlog_ = std::min(static_cast<unsigned>(backlog), backlog_limit);
    if (state_ == state::listening) return 0;
    if (!is_bound_)
        if (const int bound = bind(local_.with_port(0)); bound < 0) return bound;
    if (const int listening = home_.listen(*this); listening < 0) return listening;
    state_ = state::listening;
    shut_read_ = shut_write_ = false;
    return 0;
}

int tcp_socket::accept(std::shared_ptr<tcp_socket>& into) {
    if (state_ != state::listening) return -EINVAL;
    if (accepted_.empty()) return -EAGAIN;
    into = std::move(accepted_.front());
    accepted_.pop_front();
    return 0;
}

bool tcp_socket::drop_accepted() {
    std::shared_ptr<tcp_socket> dropped;
    if (accept(dropped) < 0) return false;
    dropped->abort(ECONNABORTED);
    dropped->close();
    return true;
}

int tcp_socket::connect(endpoint to) {
    if (state_ == state::connecting) return -EALREADY;
    if (state_ == state::connected && !confirmed_) {
        confirmed_ = true;
        return 0;
    }
    if (state_ == state::connected || state_ == state::listening) return -EISCONN;
    if (std::exchange(refused_, false)) {
        shut_read_ = shut_write_ = false;
        return error_ != 0 ? -take_error() : -ECONNABORTED;
    }
    if (to.is_any()) to = to.is_v4() ? endpoint{0, 0xffff'7f00'0001, to.port} : endpoint{0, 1, to.port};
    endpoint chosen = local_;
    if (const int has_local = home_.choose_local(*this, to, chosen); has_local < 0) return has_local;
    local_ = chosen;
    remote_ = to;
    flight_ = std::make_shared<flight>();
    flight_->from = &home_;
    flight_->to = home_.towards(to);
    state_ = state::connecting;
    confirmed_ = false;
    shut_read_ = shut_write_ = false;
    home_.add(shared_from_this());
    if (home_.all().strikes(fault::connect_timeout, home_.machine())) flight_->to = nullptr;
    send_packet(packet::kind::syn);
    retry_syn(0);
    return -EINPROGRESS;
}

// The first SYN may have found no room in the backlog.
void tcp_socket::retry_syn(int attempt) {
    home_.all().after(1s * (1 << attempt), [weak = weak_from_this(), of = flight_, attempt] {
        const auto self = weak.lock();
        if (!self || self->state_ != state::connecting || self->flight_ != of) return;
        if (attempt == syn_retries) {
            self->refused_ = true;
            self->fail(ETIMEDOUT);
            return;
        }
        if (self->flight_->queue.empty()) self->send_packet(packet::kind::syn);
        self->retry_syn(attempt + 1);
    });
}

int tcp_socket::shutdown(int how) {
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return -EINVAL;
    if (state_ == state::listening && how == SHUT_WR) return 0;
    if (state_ == state::listening || state_ == state::connecting) {
        disconnect();
        return 0;
    }
    const bool was_connected = state_ == state::connected;
    shut_read_ = shut_read_ || how != SHUT_WR;
    shut_write_ = shut_write_ || how != SHUT_RD;
    if (was_connected) transmit();
    changed(0);
    finish_if_done();
    return was_connected ? 0 : -ENOTCONN;
}

// As good as new, but for an address that the program has chosen.
void tcp_socket::disconnect() {
    if (state_ == state::connecting) error_ = ECONNRESET;
    const endpoint bound = local_;
    const bool keeps_port = is_bound_ && chose_port_;
    close();
    orphaned_ = false;
    shut_read_ = shut_write_ = false;
    local_ = keeps_port ? bound : bound.with_port(0);
    is_bound_ = keeps_port && home_.bind(*this, local_) == 0;
    changed(0);
}

long tcp_socket::receive(char* data, std::size_t size) {
    if (state_ == state::listening) return -ENOTCONN;
    if (!inbox_.empty()) {
        const std::size_t count = std::min(size, inbox_.size());
        std::memcpy(data, inbox_.view().data(), count);
        inbox_.drop_front(count);
        if (state_ == state::connected) open_window();
        return static_cast<long>(count);
    }
    if (fin_received_) return 0;
    if (error_ != 0) return -take_error();
    if (shut_read_) return 0;
    return state_ == state::closed ? -ENOTCONN : -EAGAIN;
}

long tcp_socket::send(std::string_view data) {
    if (state_ == state::connecting || state_ == state::half_open) return error_ != 0 ? -take_error() : -EAGAIN;
    if (state_ != state::connected || shut_write_ || error_ != 0) return error_ != 0 ? -take_error() : -EPIPE;
    std::size_t taken = 0;
    while (taken < data.size()) {
        const std::size_t room = options.send_buffer - std::min(options.send_buffer, outbox_.size());
        // TCP_NOTSENT_LOWAT keeps a new segment from being begun, not the last one from being filled.
        const std::size_t begun = unsent() % segment_max;
        const std::size_t in_segment = begun > 0 || unsent() < unsent_max() ? segment_max - begun : 0;
        const std::size_t count = std::min({room, in_segment, data.size() - taken});
        if (count == 0) {
            wants_room_ = true;
            break;
        }
        outbox_.append(data.substr(taken, count));
        taken += count;
        transmit();
    }
    return taken == 0 && !data.empty() ? -EAGAIN : static_cast<long>(taken);
}

int tcp_socket::local_address(endpoint& into) const noexcept {
    into = local_;
    return 0;
}

int tcp_socket::peer_address(endpoint& into) const noexcept {
    if (state_ != state::connected && state_ != state::half_open) return -ENOTCONN;
    into = remote_;
    return 0;
}

int tcp_socket::take_error() noexcept { return std::exchange(error_, 0); }

// What was sent and not received yet still arrives; what was received and not read is lost, which the peer is told.
void tcp_socket::close() {
    orphaned_ = true;
    switch (state_) {
        case state::closed: break;
        case state::listening:
            for (const auto& each : std::exchange(accepted_, {})) {
                if (each->state_ == state::connected) each->send_packet(packet::kind::reset);
                each->end();
            }
            break;
        case state::connecting: break;
        case state::half_open:
        case state::connected:
            if (!inbox_.empty() || options.linger == 0) {
                send_packet(packet::kind::reset);
                break;
            }
            shut_read_ = shut_write_ = true;
            transmit();
            finish_if_done();
            watch_orphan();
            return;
    }
    end();
}

// A peer that knows that nobody reads here, and does not finish either, is not waited for.
void tcp_socket::watch_orphan() {
    home_.all().after(orphan_patience, [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self || self->state_ != state::connected) return;
        if (self->fin_acknowledged_)
            self->end();
        else
            self->watch_orphan();
    });
}

void tcp_socket::abort(int error) {
    if (state_ == state::connected || state_ == state::half_open) send_packet(packet::kind::reset);
    inbox_.clear();
    fail(error);
}

void tcp_socket::vanish() noexcept {
    state_ = state::closed;
    inbox_.clear();
    outbox_.clear();
    accepted_.clear();
}

// Ends the connection with an error that the program is told.
void tcp_socket::fail(int error) {
    error_ = error;
    end();
    changed(0);
}

// Nothing is sent or received from here on; what has arrived can still be read.
void tcp_socket::end() {
    if (state_ == state::half_open)
        if (const auto listener = listener_.lock()) --listener->half_open_;
    const auto self = shared_from_this();  // the stack may hold the last reference
    state_ = state::closed;
    shut_read_ = shut_write_ = true;
    outbox_.clear();
    home_.remove(*this);
    home_.release(*this);
    is_bound_ = false;
}

// Once both ends have finished, and each knows it of the other.
void tcp_socket::finish_if_done() {
    if (state_ == state::connected && fin_received_ && fin_acknowledged_) end();
}

std::uint32_t tcp_socket::ready_for() noexcept {
    if (state_ == state::listening) return accepted_.empty() ? 0 : static_cast<std::uint32_t>(kernel::event_in);
    std::uint32_t bits = 0;
    if ((shut_read_ && shut_write_) || state_ == state::closed) bits |= kernel::event_hang_up;
    if (shut_read_) bits |= kernel::event_in | kernel::event_read_hang_up;
    if (state_ != state::connecting && state_ != state::half_open) {
        if (!inbox_.empty()) bits |= kernel::event_in;
        if (shut_write_ || is_writable(2))
            bits |= kernel::event_out;
        else
            wants_room_ = true;
    }
    if (error_ != 0) bits |= kernel::event_error;
    return bits;
}

// Not as soon as there is room for a byte, but for a third of what there is room for: fewer wake-ups, larger writes.
bool tcp_socket::is_writable(std::uint32_t unsent_factor) const noexcept {
    return outbox_.size() * 3 <= options.send_buffer * 2 && unsent() * unsent_factor < unsent_max();
}

void tcp_socket::tell_if_writable() {
    if (!wants_room_ || !is_writable(2)) return;
    wants_room_ = false;
    changed(kernel::event_out);
}

void tcp_socket::tell_of_room() {
    if (state_ == state::connected && is_writable(2)) changed(kernel::event_out);
}

std::uint64_t tcp_socket::window_end() const noexcept {
    const std::uint64_t room = options.receive_buffer - std::min(options.receive_buffer, inbox_.size());
    return std::max(advertised_end_, received_ + room);
}

// The peer is told of room once there is some worth telling, RFC 9293, section 3.8.6.2.2.
void tcp_socket::open_window() {
    if (fin_received_ || window_end() < advertised_end_ + std::max<std::size_t>(options.receive_buffer / 4, 1)) return;
    acknowledge();
}

void tcp_socket::send_packet(packet::kind what) {
    packet sent;
    sent.what = what;
    sent.from = local_;
    sent.to = remote_;
    sent.sequence = sent_;
    sent.acknowledged = received_ + (fin_received_ ? 1 : 0);
    sent.window_end = advertised_end_ = window_end();
    home_.wires().send(flight_, std::move(sent));
}

// Sends what the peer has room for.
void tcp_socket::transmit() {
    if (!awaits_acknowledgement()) last_progress_ = home_.all().now;
    while (!fin_sent_ && (unsent() > 0 ? sent_ < peer_window_end_ : shut_write_)) {
        packet sent;
        sent.from = local_;
        sent.to = remote_;
        sent.sequence = sent_;
        const std::uint64_t room = peer_window_end_ - std::min(peer_window_end_, sent_);
        sent.data = outbox_.view().substr(sent_ - acknowledged_,
                                          std::min<std::uint64_t>({unsent(), room, std::uint64_t{segment_max}}));
        sent_ += sent.data.size();
        sent.fin = fin_sent_ = shut_write_ && unsent() == 0;
        sent.acknowledged = received_ + (fin_received_ ? 1 : 0);
        sent.window_end = advertised_end_ = window_end();
        home_.wires().send(flight_, std::move(sent));
        watch_progress();
    }
    watch_window();
}

duration tcp_socket::patience() const noexcept {
    return options.user_timeout > 0 ? duration(std::chrono::milliseconds(options.user_timeout)) : default_patience;
}

bool tcp_socket::awaits_acknowledgement() const noexcept {
    return sent_ > acknowledged_ || (fin_sent_ && !fin_acknowledged_);
}

// Gives up a connection whose peer acknowledges nothing for a quarter of an hour, or TCP_USER_TIMEOUT.
void tcp_socket::watch_progress() {
    if (std::exchange(watches_progress_, true)) return;
    const duration waited = home_.all().now - last_progress_;
    home_.all().after(patience() - waited, [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self || self->state_ != state::connected) return;
        self->watches_progress_ = false;
        if (!self->awaits_acknowledgement()) return;
        if (self->home_.all().now - self->last_progress_ >= self->patience())
            self->fail(ETIMEDOUT);
        else
            self->watch_progress();
    });
}

bool tcp_socket::awaits_window() const noexcept { return unsent() > 0 && sent_ >= peer_window_end_; }

// A peer without room is asked again and again whether it has some, RFC 9293, section 3.8.6.1: it may be gone.
void tcp_socket::watch_window() {
    if (awaits_window() && !std::exchange(watches_window_, true)) probe_window(home_.all().now, first_probe);
}

void tcp_socket::probe_window(time_point since, duration wait) {
    home_.all().after(std::min(wait, patience()), [weak = weak_from_this(), since, wait] {
        const auto self = weak.lock();
        if (!self || self->state_ != state::connected) return;
        if (!self->awaits_window()) {
            self->watches_window_ = false;
            return;
        }
        if (self->home_.all().now - std::max(since, self->last_heard_) >= self->patience())
            return self->fail(ETIMEDOUT);
        if (!self->awaits_acknowledgement() && self->flight_->queue.empty()) self->send_packet(packet::kind::probe);
        self->probe_window(since, std::min(2 * wait, last_probe));
    });
}

}  // namespace cove::sim::detail

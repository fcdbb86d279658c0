// What arrives for a simulated TCP socket.

#include <cove/net/sim/detail/tcp_socket.hpp>
#include <cove/net/sim/detail/tcp_stack.hpp>

#include <cerrno>
#include <chrono>

namespace cove::sim::detail {
namespace {

// net.ipv4.tcp_synack_retries of 5: after 1, 3, 7, 15 and 31 s, and given up after 63.
constexpr duration confirmation_patience = std::chrono::seconds(63);

}  // namespace

// In the listener's name: answers a SYN. The connection may be accepted when the peer has confirmed it.
void tcp_socket::open_passively(const std::shared_ptr<tcp_socket>& listener, const packet& syn) {
    state_ = state::half_open;
    listener_ = listener;
    ++listener->half_open_;
    local_ = syn.to;
    remote_ = syn.from;
    peer_window_end_ = syn.window_end;
    last_heard_ = home_.all().now;
    flight_ = std::make_shared<flight>();
    flight_->from = &home_;
    flight_->to = home_.towards(remote_);
    home_.add(shared_from_this());
    send_packet(packet::kind::syn_ack);
    home_.all().after(confirmation_patience, [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (self && self->state_ == state::half_open) self->end();
    });
}

void tcp_socket::arrive(packet arrived) {
    last_heard_ = home_.all().now;
    if (arrived.what == packet::kind::reset) return on_reset();
    if (state_ == state::connecting) {
        // A SYN here is that of a peer that connects at the same time, or of this socket to itself.
        if (arrived.what != packet::kind::syn && arrived.what != packet::kind::syn_ack) return;
        state_ = state::connected;
        peer_window_end_ = arrived.window_end;
        send_packet(arrived.what == packet::kind::syn ? packet::kind::syn_ack : packet::kind::data);
        watch_silence();
        changed(0);
        return;
    }
    if (arrived.what == packet::kind::syn) {  // sent again
        if (state_ == state::half_open) send_packet(packet::kind::syn_ack);
        return;
    }
    if (state_ == state::half_open) {
        const auto listener = listener_.lock();
        if (!listener || !listener->is_listening()) {
            send_packet(packet::kind::reset);
            return end();
        }
        --listener->half_open_;
        state_ = state::connected;
        listener->accepted_.push_back(shared_from_this());
        watch_silence();
        listener->changed(kernel::event_in);
    }
    if (arrived.what == packet::kind::syn_ack) return;
    if (arrived.what == packet::kind::probe) return acknowledge();
    take_acknowledgement(arrived);
    take_data(arrived);
    if (state_ != state::connected) return;
    transmit();
    tell_if_writable();
    finish_if_done();
}

void tcp_socket::take_acknowledgement(const packet& arrived) {
    peer_window_end_ = std::max(peer_window_end_, arrived.window_end);
    if (arrived.acknowledged <= acknowledged_) return;
    last_progress_ = home_.all().now;
    const std::uint64_t end_of_data = stream_end();
    if (fin_sent_ && arrived.acknowledged > end_of_data) fin_acknowledged_ = true;
    const std::uint64_t data_acknowledged = std::min(arrived.acknowledged, end_of_data);
    outbox_.drop_front(data_acknowledged - acknowledged_);
    acknowledged_ = data_acknowledged;
}

void tcp_socket::take_data(packet& arrived) {
    if (arrived.data.empty() && !arrived.fin) return;
    // Nobody will ever read it: the peer must not believe that it was.
    if (!arrived.data.empty() && shut_read_ && shut_write_) {
        send_packet(packet::kind::reset);
        return on_reset();
    }
    received_ += arrived.data.size();
    if (!arrived.data.empty()) {
        inbox_.append(arrived.data);
        changed(kernel::event_in);
    }
    if (arrived.fin && !fin_received_) {
        fin_received_ = shut_read_ = true;
        changed(0);
    }
    acknowledge();
}

void tcp_socket::on_reset() {
    int error = ECONNRESET;
    if (state_ == state::connecting) {
        error = ECONNREFUSED;
        refused_ = true;
    } else if (fin_received_ && !fin_sent_) {
        error = EPIPE;
    }
    fail(error);
}

// SO_KEEPALIVE: asks a silent peer for a sign of life, and gives up when none comes.
void tcp_socket::watch_silence() {
    if (!options.keep_alive || state_ != state::connected || std::exchange(watches_silence_, true)) return;
    const auto idle = std::chrono::seconds(options.keep_alive_idle);
    const auto interval = std::chrono::seconds(options.keep_alive_interval);
    const duration silent = home_.all().now - last_heard_;
    home_.all().after(silent >= idle ? duration(interval) : idle - silent, [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self || self->state_ != state::connected || !self->options.keep_alive) return;
        self->watches_silence_ = false;
        const duration silence = self->home_.all().now - self->last_heard_;
        const auto limit = std::chrono::seconds(self->options.keep_alive_idle +
                                                self->options.keep_alive_interval * self->options.keep_alive_probes);
        if (silence >= limit) return self->abort(ETIMEDOUT);
        if (silence >= std::chrono::seconds(self->options.keep_alive_idle)) self->send_packet(packet::kind::probe);
        self->watch_silence();
    });
}

}  // namespace cove::sim::detail

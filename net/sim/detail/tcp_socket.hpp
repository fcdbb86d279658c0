// One end of a simulated TCP connection, or a listener: what Linux's net/ipv4/tcp.c answers, without its arithmetic of
// losses and round trips. See tcp(7), RFC 9293.

#pragma once

#include <cove/net/sim/detail/byte_queue.hpp>
#include <cove/net/sim/detail/endpoint.hpp>
#include <cove/net/sim/detail/network.hpp>
#include <cove/net/sim/detail/poller.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>

namespace cove::sim::detail {

class tcp_stack;

// What setsockopt(2) sets, and what an accepted socket inherits.
struct tcp_options {
    bool reuse_address = false;
    bool reuse_port = false;
    bool v6_only = false;
    bool nodelay = false;
    bool keep_alive = false;
    int keep_alive_idle = 7200;
    int keep_alive_interval = 75;
    int keep_alive_probes = 9;
    int linger = -1;               // seconds; negative: off
    int user_timeout = 0;          // milliseconds; 0: the default
    std::uint32_t unsent_max = 0;  // 0: no limit
    std::size_t send_buffer = 0;   // bytes
    std::size_t receive_buffer = 0;
};

class tcp_socket final : public file, public std::enable_shared_from_this<tcp_socket> {
public:
    enum class state : unsigned char { closed, listening, connecting, half_open, connected };

    tcp_socket(tcp_stack& home, int family, const tcp_options& options);

    // The calls, answering as the system calls do.
    int bind(endpoint where);
    int listen(int backlog);
    int accept(std::shared_ptr<tcp_socket>& into);
    int connect(endpoint to);
    int shutdown(int how);
    long receive(char* data, std::size_t size);
    long send(std::string_view data);
    int local_address(endpoint& into) const noexcept;
    int peer_address(endpoint& into) const noexcept;
    int take_error() noexcept;
    void close() override;
    std::uint32_t ready_for() noexcept override;

    // What arrives for this end.
    void arrive(packet arrived);

    // An accepted connection that has not been fetched is dropped, as by ECONNABORTED; whether there was one.
    bool drop_accepted();

    // The connection ends here and now with this error, and its peer is reset.
    void abort(int error);

    // The power goes: nothing is sent, nobody is told.
    void vanish() noexcept;

    int family() const noexcept { return family_; }
    bool is_bound() const noexcept { return is_bound_; }
    bool is_listening() const noexcept { return state_ == state::listening; }
    bool is_connected() const noexcept { return state_ == state::connected; }
    bool has_backlog_room() const noexcept { return accepted_.size() + half_open_ <= backlog_; }
    bool has_received() const noexcept { return !inbox_.empty(); }
    const endpoint& local() const noexcept { return local_; }
    const endpoint& remote() const noexcept { return remote_; }

    tcp_options options;

    // TCP_NOTSENT_LOWAT was set, after which Linux tells of room, were it old news.
    void tell_of_room();

    // SO_KEEPALIVE was set.
    void watch_silence();

    // A listener's new connection.
    void open_passively(const std::shared_ptr<tcp_socket>& listener, const packet& syn);

private:
    void send_packet(packet::kind what);
    void transmit();
    void acknowledge() { send_packet(packet::kind::data); }
    void take_acknowledgement(const packet& arrived);
    void take_data(packet& arrived);
    void on_reset();
    void fail(int error);
    void end();
    void disconnect();
    duration patience() const noexcept;
    void finish_if_done();
    bool is_writable(std::uint32_t unsent_factor) const noexcept;
    void tell_if_writable();
    void open_window();
    bool awaits_acknowledgement() const noexcept;
    bool awaits_window() const noexcept;
    void watch_progress();
    void watch_window();
    void probe_window(time_point since, duration wait);
    void retry_syn(int attempt);
    void watch_orphan();
    std::uint64_t stream_end() const noexcept { return acknowledged_ + outbox_.size(); }
    std::uint64_t unsent() const noexcept { return stream_end() - sent_; }
    std::uint64_t unsent_max() const noexcept { return options.unsent_max != 0 ? options.unsent_max : 0xffff'ffff; }
    std::uint64_t window_end() const noexcept;

    tcp_stack& home_;
    const int family_;
    state state_ = state::closed;
    bool is_bound_ = false;
    bool chose_port_ = false;  // the program did, not the kernel
    bool orphaned_ = false;    // closed by the program; the kernel ends what is under way
    bool refused_ = false;     // a connect has failed and left the socket as it was before
    bool confirmed_ = true;    // a connect that became complete later was asked again
    endpoint local_;
    endpoint remote_;
    int error_ = 0;
    bool shut_read_ = false;
    bool shut_write_ = false;

    // Sending: the stream's bytes from acknowledged_ on, of which those before sent_ are on their way.
    byte_queue outbox_;
    std::uint64_t acknowledged_ = 0;
    std::uint64_t sent_ = 0;
    std::uint64_t peer_window_end_ = 0;
    bool fin_sent_ = false;
    bool fin_acknowledged_ = false;
    bool wants_room_ = false;  // SOCK_NOSPACE: somebody was told that there is no room
    std::shared_ptr<flight> flight_;

    // Receiving: the bytes before received_ have arrived, the last of them wait in inbox_.
    byte_queue inbox_;
    std::uint64_t received_ = 0;
    std::uint64_t advertised_end_ = 0;
    bool fin_received_ = false;

    bool watches_progress_ = false;
    bool watches_window_ = false;
    bool watches_silence_ = false;
    time_point last_progress_{};
    time_point last_heard_{};

    std::deque<std::shared_ptr<tcp_socket>> accepted_;
    std::weak_ptr<tcp_socket> listener_;
    std::size_t backlog_ = 0;
    std::size_t half_open_ = 0;
};

}  // namespace cove::sim::detail

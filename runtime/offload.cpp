#include <cove/runtime/offload.hpp>

#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>

namespace cove::detail {

// Back on the loop's thread.
void offloaded::run() noexcept {
    if (waiting != nullptr) {
        waiting->job_in_flight_ = false;
        std::exchange(waiting, nullptr)->finish();
    }
    drop();
}

// The pool's share ends, on whichever thread.
void offloaded::drop() noexcept {
    inbox& left = *home;
    left.remove_poster();
    let_go();
    left.let_go();
}

bool offload_waiter::start(promise_base& frame) {
    if (job_ == nullptr || job_->home != nullptr) misuse("an offloaded call can be awaited once", frame.location);
    if (!may_wait(frame)) return false;
    inbox& home = frame.scope->own_loop().inbox();
    home.hold();
    home.add_poster();
    job_->home = &home;
    job_->waiting = this;
    job_->hold();
    refused_ = pool_->add(*job_);
    if (refused_ < 0) {
        job_->waiting = nullptr;
        static_cast<posted&>(*job_).drop();
        job_->home = nullptr;
        return false;
    }
    job_in_flight_ = true;
    suspend(frame);
    return true;
}

// Takes the job out of the pool's queue; false: the call runs, or has been made.
bool offload_waiter::take_back() noexcept {
    if (!pool_->remove(*job_)) return false;
    job_in_flight_ = false;
    job_->waiting = nullptr;
    static_cast<posted&>(*job_).drop();
    return true;
}

bool offload_waiter::withdraw() noexcept {
    if (take_back()) return true;
    if (!may_abandon_) return false;
    job_->waiting = nullptr;
    job_in_flight_ = false;
    return true;
}

offload_waiter::~offload_waiter() {
    if (job_ == nullptr) return;
    if (job_in_flight_ && !take_back()) {
        job_->waiting = nullptr;
        if (!may_abandon_) job_->wait_until_made();
    }
    job_->let_go();
}

void offload_waiter::throw_if_not_made() const {
    throw_if_canceled();
    if (refused_ < 0) throw_error(to_error_code(refused_), "offload", {});
}

}  // namespace cove::detail

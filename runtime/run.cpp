#include <cove/runtime/run.hpp>

#include <cove/runtime/stepped_run.hpp>

#include <utility>

namespace cove::detail {

bool run_main(task<> body, const run_options& options) {
    if (this_thread.running != nullptr) misuse("run() was called inside a running loop; co_await the task instead");
    stepped_run here(options.os != nullptr ? *options.os : kernel::current(), options.stop_on_signals);
    here.loop().set_busy_poll(options.busy_poll);
    here.start([&body] { return std::move(body); });
    here.turn_to_end();
    return here.finish();
}

}  // namespace cove::detail

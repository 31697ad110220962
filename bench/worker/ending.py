"""How a cell ends: the one `try` of the project that turns exceptions into statuses, each with its reason."""

from __future__ import annotations

import os
import time
import traceback

from ampbench.bench.machine.provenance import refused_switch
from ampbench.bench.measure.memory import is_out_of_memory
from ampbench.bench.train.precision.dtype_limits import why_not_in_16_bits
from ampbench.bench.train.ranks import ECHO_S
from ampbench.bench.train.statuses import DataTooLarge, Diverged, Interrupted, Pruned, Throttled, Unsupported
from ampbench.bench.worker.advice import described
from ampbench.bench.worker.cuda import NoCuda, hold_memory, start_cuda
from ampbench.bench.worker.exception_text import first_line
from ampbench.bench.worker.measurement import Measurement
from ampbench.schema.identity import Ending


def ending_of(measurement: Measurement) -> Ending:
    """Measure the cell, and return how it ended.

    Raises:
        Interrupted: the user ends the process.
    """
    try:
        refused = refused_switch(os.environ)
        if refused:
            raise Unsupported(refused)
        start_cuda(measurement.device)
        hold_memory(measurement.device, measurement.memory_limit_bytes)
        measurement.take()
    except Unsupported as e:
        return Ending(status="unsupported", because=str(e))
    except Diverged as e:
        return Ending(status="diverged", because=str(e))
    except Throttled as e:
        return Ending(status="throttled", because=str(e))
    except Pruned as e:
        return Ending(status="pruned", because=str(e))
    except DataTooLarge as e:
        return Ending(status="oom", because=str(e))
    except NoCuda as e:
        return Ending(status="failed", because=str(e))
    except Interrupted:
        raise
    except BaseException as e:
        traceback.print_exc()
        if measurement.cell.gpus > 1:
            time.sleep(ECHO_S)
        return _failed(measurement, e)
    return Ending(status="ok")


def _failed(measurement: Measurement, error: BaseException) -> Ending:
    """Return status and reason for an exception that is not itself an ending."""
    cell = measurement.cell
    if isinstance(error, SystemExit):
        because = f"SystemExit: the model, or what it imports, ended the process (exit code {error.code})"
        return Ending(status="failed", because=because)
    if isinstance(error, KeyboardInterrupt):
        return Ending(status="failed", because="KeyboardInterrupt: raised by the model, or by what it imports")
    if lacking := why_not_in_16_bits(error, cell.precision, measurement.device):
        return Ending(status="unsupported", because=lacking)
    if is_out_of_memory(error):
        return Ending(status="oom", because=f"out of memory at batch size {cell.batch_size}: {first_line(error)}")
    return Ending(status="failed", because=described(error, measurement.cell_as_run))

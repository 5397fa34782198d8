//! Streams, events and graphs.

use crate::api::put;
use crate::log;
use crate::memory::stream_of;
use crate::world::{current, current_context, inside, outside};
use expert_gemm::Driver;
use expert_gemm::driver::{Event, Graph};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

/// The context of each stream.
static CONTEXTS: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());

fn create_stream(stream: *mut u64) -> expert_gemm::Result<()> {
    let driver = current()?;
    let created = outside(driver, driver.create_stream()?.raw());
    let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    contexts.insert(created, current_context());
    // SAFETY: the caller of the driver's function gives a place for its answer.
    unsafe { put(stream, created) }
}

fn event_of(handle: u64) -> expert_gemm::Result<Event> {
    // SAFETY: the caller's event is alive, by the driver's documentation.
    Ok(unsafe { Event::from_raw(inside(current()?, handle)?) })
}

fn graph_of(handle: u64) -> expert_gemm::Result<Graph> {
    // SAFETY: the caller's graph is alive, by the driver's documentation.
    Ok(unsafe { Graph::from_raw(inside(current()?, handle)?) })
}

driver_api! {
    fn cuStreamCreate(stream: *mut u64, _flags: u32) { create_stream(stream) }

    fn cuStreamCreateWithPriority(stream: *mut u64, _flags: u32, _priority: i32) {
        create_stream(stream)
    }

    fn cuStreamDestroy_v2(stream: u64) { current()?.destroy_stream(stream_of(stream)?) }

    fn cuStreamSynchronize(stream: u64) { current()?.synchronize_stream(stream_of(stream)?) }

    fn cuStreamIsCapturing(stream: u64, status: *mut u32) {
        put(status, u32::from(current()?.is_capturing(stream_of(stream)?)?))
    }

    fn cuStreamGetCtx(stream: u64, context: *mut u64) {
        let contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
        put(context, contexts.get(&stream).copied().unwrap_or_else(current_context))
    }

    fn cuStreamWaitEvent(stream: u64, event: u64, _flags: u32) {
        log::line(format!("wait {event:#x} stream {stream:#x}"));
        Ok(())
    }

    fn cuStreamBeginCapture_v2(stream: u64, _mode: u32) {
        current()?.begin_capture(stream_of(stream)?)
    }

    // A captured graph can be launched as it is, so that its instance is itself.
    fn cuStreamEndCapture(stream: u64, graph: *mut u64) {
        let driver = current()?;
        put(graph, outside(driver, driver.end_capture(stream_of(stream)?)?.raw()))
    }

    fn cuGraphInstantiateWithFlags(instance: *mut u64, graph: u64, _flags: u64) {
        put(instance, graph)
    }

    fn cuGraphDestroy(_graph: u64) { Ok(()) }

    fn cuGraphLaunch(instance: u64, stream: u64) {
        current()?.launch_graph(graph_of(instance)?, stream_of(stream)?)
    }

    fn cuGraphExecDestroy(instance: u64) { current()?.destroy_graph(graph_of(instance)?) }

    fn cuEventCreate(event: *mut u64, _flags: u32) {
        let driver = current()?;
        put(event, outside(driver, driver.create_event()?.raw()))
    }

    fn cuEventDestroy_v2(event: u64) { current()?.destroy_event(event_of(event)?) }

    fn cuEventRecord(event: u64, stream: u64) {
        log::line(format!("record {event:#x} stream {stream:#x}"));
        current()?.record_event(event_of(event)?, stream_of(stream)?)
    }

    fn cuEventSynchronize(event: u64) { current()?.synchronize_event(event_of(event)?) }

    fn cuEventQuery(_event: u64) { Ok(()) }

    fn cuEventElapsedTime(elapsed_ms: *mut f32, start: u64, end: u64) {
        put(elapsed_ms, current()?.elapsed_ms(event_of(start)?, event_of(end)?)?)
    }

    fn cuLaunchHostFunc(_stream: u64, function: unsafe extern "C" fn(*mut c_void), data: *mut c_void) {
        function(data);
        Ok(())
    }
}

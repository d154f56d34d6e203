// A frontend's calls, compiled against the types that "supabase gen types" makes of the database
// (test_generated_types.py). A line below @ts-expect-error must not compile.
import { createClient } from '@supabase/supabase-js'
import type { Database } from './database.types'

const supabase = createClient<Database>('http://127.0.0.1', 'a publishable key')
const id = '00000000-0000-4000-8000-000000000001'

// Two types are the same; any and unknown are the same as nothing else.
type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Same<A, B>): void => {}

type Answer = Database['public']['CompositeTypes']['session_answer']

export async function acts(): Promise<void> {
  const { data } = await supabase.rpc('approve_session_and_deduct_credit', { p_session_id: id })
  const [session] = data!
  same<typeof session, Answer>(true)
  same<typeof session.status, string | null>(true)
  same<typeof session.duration_minutes, number | null>(true)
  same<typeof session.is_instant, boolean | null>(true)

  await supabase.rpc('create_custom_session', { p_patient_id: id, p_is_instant: true })
  await supabase.rpc('decline_session', { p_session_id: id, p_reason: 'on holiday' })
  await supabase.rpc('cancel_session', { p_session_id: id })
  await supabase.rpc('finish_session', { p_session_id: id, p_no_show_by: 'therapist' })
  const joined = await supabase.rpc('join_session', { p_session_id: id })
  same<(typeof joined.data & object)[0]['expires_at'], string | null>(true)
}

export async function lists(): Promise<void> {
  const ids = await supabase.rpc('list_sessions', {}).select('id')
  const [first] = ids.data!
  same<typeof first, { id: string | null }>(true)

  await supabase.rpc('list_sessions')
  await supabase.rpc('list_sessions', { p_status: ['scheduled'], p_limit: 10 }).eq('status', 'scheduled')
  await supabase.rpc('list_pending_sessions', { p_before: id })
  await supabase.rpc('list_clients', { p_search: 'ann' }).select('id, full_name')
  const credits = await supabase.rpc('get_credits').single()
  same<(typeof credits.data & object)['credits_balance'], number | null>(true)
  const one = await supabase.rpc('get_session', { p_session_id: id }).single()
  same<(typeof one.data & object)['start_time'], string | null>(true)
  const free = await supabase.rpc('check_availability', { p_start_time: '2030-01-31T10:00:00Z' })
  same<(typeof free.data & object)[0]['available'], boolean | null>(true)
}

export async function mistakes(): Promise<void> {
  // @ts-expect-error the parameter has another name
  await supabase.rpc('approve_session_and_deduct_credit', { session_id: id })
  // @ts-expect-error a parameter without a default is missing
  await supabase.rpc('approve_session_and_deduct_credit', {})
  // @ts-expect-error the parameter is a number
  await supabase.rpc('list_sessions', { p_limit: 'ten' })
  // @ts-expect-error there is no such function
  await supabase.rpc('approve_session', { p_session_id: id })
  const { data } = await supabase.rpc('list_sessions')
  // @ts-expect-error a session has no price
  console.log(data![0].price)
  const selected = await supabase.rpc('list_sessions').select('id, price')
  // @ts-expect-error nor can it be selected
  console.log(selected.data![0].id)
}
